"""HL7 v2: a lossless lazy ER7 reader/writer, the standard's datatype tables, and what a message says."""
