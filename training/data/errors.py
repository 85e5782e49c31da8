"""What is wrong with an annotation file: where and what, never the text."""

from __future__ import annotations

from pathlib import Path


class DataError(ValueError):
    """``code`` is one of a few short words; ``line`` counts from 1, 0 for the file as a whole."""

    def __init__(self, code: str, path: Path, line: int = 0) -> None:
        super().__init__(f"{code}: {path.name}" + (f", line {line}" if line else ""))
        self.code, self.path, self.line = code, path, line
