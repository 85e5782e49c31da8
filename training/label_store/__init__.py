"""Samples and reviewed labels as Parquet, in a folder or an S3-compatible store."""
