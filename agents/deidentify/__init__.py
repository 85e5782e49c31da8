"""The only stage that reads identifiers: native messages in, the same messages without them out."""
