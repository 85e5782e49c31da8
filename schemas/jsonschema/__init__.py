"""JSON Schemas (draft 2020-12) of this system's own records, one file a version; generated, never edited."""
