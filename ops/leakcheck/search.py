"""Canary values in every form that a log, a dump or a header could hold them. Shares no code with de-identification on purpose."""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ops.leakcheck.canaries import Canary

_SEPARATORS = re.compile(rb"[^0-9A-Za-z]+")


def forms(value: str) -> Iterator[tuple[str, bytes]]:
    """Name of the form and the bytes to look for, in lower case where the form has letters of either case."""
    raw = value.encode()
    for way, text in (("plain", raw), ("plain", raw.lower()), ("plain", raw.upper())):
        yield way, text.lower()
        yield "hex", text.hex().encode()
        yield "url", urllib.parse.quote(text, safe="").lower().encode()
        # base64 of any three positions in a stream; the first and last characters depend on the neighbours
        for lead in range(3):
            packed = base64.b64encode(b"\x00" * lead + text)[(0, 2, 3)[lead] :]
            yield "base64", packed.rstrip(b"=")[: len(packed.rstrip(b"=")) - 1]


@dataclass(slots=True)
class Search:
    """``hits``: (place, kind of identifier, form) -> count. A value is never kept with a hit."""

    canaries: Iterable[Canary]
    hits: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    searched: Counter[str] = field(default_factory=Counter)
    _folded: dict[bytes, tuple[str, str]] = field(init=False, default_factory=dict)
    _exact: dict[bytes, tuple[str, str]] = field(init=False, default_factory=dict)
    _digits: dict[bytes, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for canary in self.canaries:
            for kind, value in canary.values.items():
                for way, text in forms(value):
                    if len(text) >= 6:
                        (self._exact if way == "base64" else self._folded)[text] = (kind, way)
                digits = "".join(c for c in value if c.isdigit())
                if len(digits) >= 8:
                    self._digits[digits.encode()] = kind

    def look(self, place: str, data: bytes) -> None:
        """Count every form of every value that stands in ``data`` under ``place``."""
        self.searched[place] += len(data)
        folded = data.lower()
        for text, (kind, way) in self._folded.items():
            if text in folded:
                self.hits[place, kind, way] += 1
        for text, (kind, way) in self._exact.items():
            if text in data:
                self.hits[place, kind, way] += 1
        if not self._digits:
            return
        joined = _SEPARATORS.sub(b"", folded)
        for text, kind in self._digits.items():
            if text in joined and text not in folded:
                self.hits[place, kind, "without separators"] += 1
