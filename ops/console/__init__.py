"""The HTTP API of annotation and explanation (``wardstream serve``)."""
