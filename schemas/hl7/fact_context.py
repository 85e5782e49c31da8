"""What a segment's fact needs of the segments around it: order, request, visit, times, ids, versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from schemas.clinical import Coding, Fact, FactKind
from schemas.hl7.er7 import Message, Segment

#: ``Fact.version`` is the status rank times this plus the time as digits ``YYYYMMDDhhmmss``.
VERSION_RANK = 10**14

#: OBX-11 (table 0085): provisional, final, corrected, withdrawn; a correction wins over what it corrects, whichever comes first.
RANK = {"O": 0, "N": 0, "I": 0, "S": 1, "R": 1, "P": 1, "B": 1, "A": 2, "V": 2, "F": 3, "U": 3, "X": 3, "C": 4, "D": 5, "W": 5}
RETRACTED = frozenset({"D", "W"})

_STAMP = re.compile(r"\d{4,14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimedFact:
    """``time_path`` is where ``fact.time`` stands, ``version_path`` where the time in ``fact.version``; empty when the message gives none."""

    fact: Fact
    time_path: str
    version_path: str = ""


@dataclass(slots=True)
class Context:
    """The segments that later ones belong to, with their paths; ``report``: id of the report that results belong to, ``routes`` as in
    ``schemas.hl7.medications``."""

    message: Message
    order: tuple[str, Segment] | None = None
    request: tuple[str, Segment] | None = None
    visit: str = ""
    report: str = ""
    routes: dict[str, tuple[str, Segment]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    used: set[tuple[str, int]] = field(default_factory=set)
    _number: str | None = None
    _stamp: int | None = None
    _stamp_path: str = ""

    def time(self, *candidates: tuple[tuple[str, Segment] | None, int]) -> tuple[str, str]:
        """The first time that is there: (value, path); MSH-7 at last."""
        for place, position in (*candidates, (("MSH", self.message.header), 7)):
            if place is not None and (value := field_value(place[1], position)):
                self.used.add((place[0], position))
                return value, f"{place[0]}-{position}"
        return "", ""

    def order_number(self) -> str:
        """Filler before placer number, of the request before the order; else the control id, which at least never repeats."""
        if self._number is None:
            self._number = self._find_number() or field_value(self.message.header, 10)
        return self._number

    def _find_number(self) -> str:
        for place, position in ((self.request, 3), (self.request, 2), (self.order, 3), (self.order, 2)):
            if place is not None and (number := field_value(place[1], position)):
                self.used.add((place[0], position))
                return number
        return ""

    def unique(self, *parts: str) -> str:
        """An id inside this message; the second fact that looks the same gets a number."""
        name = "/".join(parts)
        count = self.seen[name] = self.seen.get(name, 0) + 1
        return name if count == 1 else f"{name}/{count}"

    def version(self, rank: int) -> int:
        """Status rank, then OBR-22 (results changed) or MSH-7 as digits."""
        if self._stamp is None:
            self._stamp, self._stamp_path = self._find_stamp()
        return rank * VERSION_RANK + self._stamp

    @property
    def version_path(self) -> str:
        """Where the time of the last ``version`` stands."""
        return self._stamp_path

    def _find_stamp(self) -> tuple[int, str]:
        for place, position in ((self.request, 22), (("MSH", self.message.header), 7)):
            if place is not None and (match := _STAMP.match(field_value(place[1], position))):
                return int(match.group().ljust(14, "0")), f"{place[0]}-{position}"
        return 0, ""

    def begin(self, *, order: tuple[str, Segment] | None, request: tuple[str, Segment] | None) -> None:
        """A new ORC or OBR: what follows belongs to it."""
        self.order, self.request, self.report = order, request, ""
        self._number = self._stamp = None
        self._stamp_path = ""


def timed_fact(
    context: Context,
    path: str,
    kind: FactKind,
    codes: tuple[Coding, ...],
    identifier: str,
    time: str,
    time_path: str,
    **rest: object,
) -> Iterator[TimedFact]:
    """One fact; none where the segment holds neither code nor text."""
    if not codes and not rest.get("text"):
        return
    retracted = bool(rest.get("retracted"))
    fact = Fact(
        id=context.unique(identifier),
        kind=kind,
        path=path,
        codes=codes,
        time=time,
        version=context.version(RANK["D"] if retracted else RANK["F"]),
    )
    yield TimedFact(msgspec.structs.replace(fact, **rest), time_path)


def field_value(segment: Segment, position: int, component: int = 1) -> str:
    text = segment.raw(position)
    if not text or (text.isalnum() and component == 1):
        return text if component == 1 else ""
    return without_null(segment.get(position, component=component)).strip()


def without_null(text: str) -> str:
    return "" if text == '""' else text


def use_fields(context: Context, path: str, segment: Segment, *positions: int) -> None:
    context.used.update((path, position) for position in positions if segment.raw(position))
