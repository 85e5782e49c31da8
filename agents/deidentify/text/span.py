"""What a layer of the text scrubber found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PhiType = Literal["NAME", "DATE", "AGE", "ID", "PHONE", "EMAIL", "URL", "LOCATION", "ORGANIZATION"]
Layer = Literal["known", "pattern", "model"]


@dataclass(frozen=True, slots=True)
class Found:
    """``start`` and ``end`` are code points of the text that the layer was given; ``rule`` is the recognizer or model version."""

    start: int
    end: int
    type: PhiType
    layer: Layer
    rule: str
    score: float = 1.0
