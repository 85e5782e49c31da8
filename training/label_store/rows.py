"""What the store keeps: a sample or a label with its place in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from schemas.labels import ReviewedLabel
from schemas.samples import Sample

Kind = Literal["sample", "label"]
KINDS: Final[tuple[Kind, ...]] = ("sample", "label")


@dataclass(frozen=True, slots=True)
class Row:
    """``at``: the record's time in the log, milliseconds since the Unix epoch; ``day``: of its partition."""

    kind: Kind
    day: str
    at: int
    record: Sample | ReviewedLabel
