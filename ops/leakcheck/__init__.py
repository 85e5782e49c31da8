"""Canary patients through a running installation, then a search for them in everything that it left behind."""
