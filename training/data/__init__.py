"""Corpora and generated text as annotated documents. Nothing here imports torch."""
