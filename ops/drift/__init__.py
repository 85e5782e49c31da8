"""The report of the watch over drift, as tables and as a page."""
