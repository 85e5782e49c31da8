"""The stages, one room each; read ``pipeline.py`` first."""
