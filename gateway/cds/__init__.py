"""The CDS Hooks door."""
