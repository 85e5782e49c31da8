"""The coded statements of a message: observations and their reports, problems, allergies, medications, procedures.

Each fact comes with the path of the field that its time stands in (OBX-14, else OBR-7, else MSH-7, and so on), because
de-identification keeps times by that path and not in the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from schemas.clinical import Coding, Fact, FactKind
from schemas.hl7.codes import LOINC, MDC, display, field_codings
from schemas.hl7.er7 import Message, Segment
from schemas.hl7.values import first_leaf, is_prose, read_number, read_value

#: ``Fact.version`` is the status rank times this plus the time as digits ``YYYYMMDDhhmmss``.
VERSION_RANK = 10**14

#: OBX-11 (table 0085): provisional, final, corrected, withdrawn; a correction wins over what it corrects, whichever comes first.
_RANK = {"O": 0, "N": 0, "I": 0, "S": 1, "R": 1, "P": 1, "B": 1, "A": 2, "V": 2, "F": 3, "U": 3, "X": 3, "C": 4, "D": 5, "W": 5}
_RETRACTED = frozenset({"D", "W"})

#: LOINC vital signs (FHIR R4 vital-signs profile value set, NEWS2 inputs, their usual siblings).
_VITALS = frozenset((
    "85353-1", "9279-1", "8867-4", "8889-8", "2708-6", "59408-5", "8310-5", "8331-1", "8332-9",
    "8333-7", "8302-2", "8306-3", "8308-9", "3137-7", "9843-4", "29463-7", "3141-9", "39156-5",
    "85354-9", "8480-6", "8462-4", "8478-0", "3150-6", "3151-8", "80288-4",
))  # fmt: skip
#: LOINC assessment scores: PHQ-9 and its item 9, PHQ-2, Glasgow coma scale, Morse, Braden, pain.
_SCORES = frozenset(("44261-6", "44260-8", "55758-7", "9269-2", "59460-6", "38227-5", "72514-3", "38208-5"))
#: OBR-24 sections (table 0074) whose results come out of a laboratory.
_LAB_SECTIONS = frozenset(("BG", "CH", "CP", "CUS", "HM", "IMM", "LAB", "MB", "MCB", "MYC", "OSL", "SP", "SR", "TX", "VR", "BLB"))


#: Message types that carry results.
_RESULTS = frozenset(("ORU", "OUL"))
#: Between order number and code in the id of a report.
REPORT = "/OBR/"

_STAMP = re.compile(r"\d{4,14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimedFact:
    """``time_path`` is where ``fact.time`` stands; empty when the message gives no time at all."""

    fact: Fact
    time_path: str


@dataclass(slots=True)
class _Context:
    """The segments that later ones belong to, with their paths."""

    message: Message
    order: tuple[str, Segment] | None = None
    request: tuple[str, Segment] | None = None
    visit: str = ""
    seen: dict[str, int] = field(default_factory=dict)
    used: set[tuple[str, int]] = field(default_factory=set)
    _number: str | None = None
    _stamp: int | None = None

    def time(self, *candidates: tuple[tuple[str, Segment] | None, int]) -> tuple[str, str]:
        """The first time that is there: (value, path); MSH-7 at last."""
        for place, position in (*candidates, (("MSH", self.message.header), 7)):
            if place is not None and (value := _value(place[1], position)):
                self.used.add((place[0], position))
                return value, f"{place[0]}-{position}"
        return "", ""

    def order_number(self) -> str:
        """Filler before placer number, of the request before the order; else the control id, which at least never repeats."""
        if self._number is None:
            self._number = self._find_number() or _value(self.message.header, 10)
        return self._number

    def _find_number(self) -> str:
        for place, position in ((self.request, 3), (self.request, 2), (self.order, 3), (self.order, 2)):
            if place is not None and (number := _value(place[1], position)):
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
            times = ((self.request, 22), (("MSH", self.message.header), 7))
            found = (_STAMP.match(_value(place[1], position)) for place, position in times if place is not None)
            self._stamp = next((int(match.group().ljust(14, "0")) for match in found if match), 0)
        return rank * VERSION_RANK + self._stamp

    def begin(self, *, order: tuple[str, Segment] | None, request: tuple[str, Segment] | None) -> None:
        """A new ORC or OBR: what follows belongs to it."""
        self.order, self.request = order, request
        self._number = self._stamp = None


def read_facts(message: Message) -> tuple[list[TimedFact], set[tuple[str, int]]]:
    """Facts in the order of the message, and the (segment path, field) that they were read from."""
    context = _Context(message)
    facts: list[TimedFact] = []
    for path, segment in message.walk():
        match segment.id:
            case "PV1":
                context.visit = _value(segment, 19)
            case "ORC":
                context.begin(order=(path, segment), request=None)
            case "OBR":
                context.begin(order=context.order, request=(path, segment))
        if segment.id in _READERS:
            facts.extend(_READERS[segment.id](path, segment, context))
    return facts, context.used


def on_patient_clock(version: int, minutes: int) -> int:
    """The version with the patient's own clock in place of a calendar time that de-identification cut to the year."""
    return version // VERSION_RANK * VERSION_RANK + max(0, minutes)


def _observation(path: str, segment: Segment, context: _Context) -> Iterator[TimedFact]:
    kind = segment.get(2)
    codes = field_codings(segment, 3)
    value = read_value(segment, kind)
    status = segment.get(11) or (context.request[1].get(25) if context.request else "")
    if not codes or not (value or status in _RETRACTED):
        return
    time, time_path = context.time(((path, segment), 14), (context.request, 7))
    _use(context, path, segment, 2, 3, 4, 5, 6, 7, 8, 11, 14)
    yield TimedFact(
        Fact(
            id=context.unique(context.order_number(), codes[0].code or codes[0].display, segment.get(4)),
            kind=_observation_kind(segment, codes, kind, context),
            path=path,
            codes=codes,
            unit=_value(segment, 6) or _value(segment, 6, 2),
            reference_range=_value(segment, 7),
            interpretation=tuple(code for text in segment.repetitions(8) if (code := first_leaf(segment, text))),
            status=status,
            time=time,
            version=context.version(_RANK.get(status, 0)),
            retracted=status in _RETRACTED,
            value=value.number if value else None,
            comparator=value.comparator if value else "",
            text=value.text if value else "",
            value_codes=value.codes if value else (),
        ),
        time_path,
    )


def _report(path: str, segment: Segment, context: _Context) -> Iterator[TimedFact]:
    """OBR-4 where the message reports on it; in an order without a result status it is a wish. The id begins with the order number, as those
    of its observations do."""
    codes = field_codings(segment, 4)
    status = segment.get(25)
    if not codes or not (status or context.message.header.get(9) in _RESULTS):
        return
    time, time_path = context.time(((path, segment), 7))
    _use(context, path, segment, 4, 7, 25)
    yield TimedFact(
        Fact(
            id=context.unique(f"{context.order_number()}{REPORT}{codes[0].code or codes[0].display}"),
            kind="report",
            path=path,
            codes=codes,
            text=display(codes),
            status=status,
            time=time,
            version=context.version(_RANK.get(status, 0)),
        ),
        time_path,
    )


def _observation_kind(segment: Segment, codes: tuple[Coding, ...], kind: str, context: _Context) -> FactKind:
    numbers = {coding.code for coding in codes if coding.system == LOINC}
    if numbers & _VITALS or any(coding.system == MDC for coding in codes):
        return "vital"
    if numbers & _SCORES:
        return "score"
    section = context.request[1].get(24) if context.request else ""
    if section:
        return "lab" if section in _LAB_SECTIONS else "other"
    if context.message.header.get(9) in ("ORU", "OUL", "ORL", "OML") and (numbers or kind in ("NM", "SN")):
        return "lab"
    return "other"


def _diagnosis(path: str, segment: Segment, context: _Context) -> Iterator[TimedFact]:
    codes = field_codings(segment, 3)
    time, time_path = context.time(((path, segment), 5))
    _use(context, path, segment, 3, 4, 5, 6, 20, 21)
    name = codes[0].code if codes else ""
    identifier = _value(segment, 20) or f"{context.visit or _value(context.message.header, 10)}/DG1/{name}"
    description = _value(segment, 4)
    yield from _timed(
        context, path, "problem", codes, identifier, time, time_path,
        text=description if description and not is_prose(description) else display(codes),
        status=segment.get(6), retracted=segment.get(21) == "D",
    )  # fmt: skip


def _problem(path: str, segment: Segment, context: _Context) -> Iterator[TimedFact]:
    codes = field_codings(segment, 3)
    time, time_path = context.time(((path, segment), 16), ((path, segment), 7), ((path, segment), 2))
    _use(context, path, segment, 1, 3, 4, 14)
    identifier = _value(segment, 4) or f"PRB/{codes[0].code if codes else ''}"
    yield from _timed(
        context, path, "problem", codes, identifier, time, time_path,
        text=display(codes), status=segment.get(14), retracted=segment.get(1) == "DE",
    )  # fmt: skip


def _allergy(path: str, segment: Segment, context: _Context) -> Iterator[TimedFact]:
    """AL1 and IAM: allergen, type, severity, reactions; both are per patient, so the id does not hold the message."""
    adverse = segment.id == "IAM"
    codes = field_codings(segment, 3)
    places = (11, 13, 20) if adverse else (6,)
    time, time_path = context.time(*(((path, segment), position) for position in places))
    _use(context, path, segment, 2, 3, 4, 5, *((6, 7, 17) if adverse else ()))
    identifier = (_value(segment, 7) if adverse else "") or f"allergy/{(codes[0].code or codes[0].display) if codes else ''}"
    reactions = [_null(segment.leaf(text)) for text in segment.repetitions(5)]
    yield from _timed(
        context, path, "allergy", codes, identifier, time, time_path,
        text="; ".join(filter(None, reactions)),
        interpretation=tuple(filter(None, (segment.get(4),))),
        status=segment.get(17) if adverse else "",
        retracted=adverse and segment.get(6) == "D",
    )  # fmt: skip


#: (segment) -> fields of code, amount, units, times.
_MEDICATIONS: dict[str, tuple[int, int, int, tuple[int, ...]]] = {
    "RXO": (1, 2, 4, ()),
    "RXE": (2, 3, 5, (32,)),
    "RXD": (2, 4, 5, (3,)),
    "RXG": (4, 5, 7, ()),
    "RXA": (5, 6, 7, (3,)),
    "RXC": (2, 3, 4, ()),
}


_ORDERS = frozenset({"RXO", "RXE"})


def _medication(path: str, segment: Segment, context: _Context) -> Iterator[TimedFact]:
    code, amount, unit, times = _MEDICATIONS[segment.id]
    codes = field_codings(segment, code)
    own = [((path, segment), position) for position in times]
    time, time_path = context.time(*own, (context.order, 15), (context.order, 9))
    _use(context, path, segment, code, amount, unit)
    control, status = (context.order[1].get(1), context.order[1].get(5)) if context.order else ("", "")
    if context.order:
        _use(context, context.order[0], context.order[1], 1, 5)
    if segment.id == "RXA":
        status, control = segment.get(20) or status, "CA" if segment.get(21) == "D" else control
        _use(context, path, segment, 20, 21)
    name = (codes[0].code or codes[0].display) if codes else ""
    yield from _timed(
        context, path, "medication", codes, f"{context.order_number()}/{segment.id}/{name}", time, time_path,
        text=display(codes), value=read_number(_value(segment, amount)), unit=_value(segment, unit) or _value(segment, unit, 2),
        order=context.order_number() if segment.id in _ORDERS else "", status=status or control, retracted=control in ("CA", "OC", "CR"),
    )  # fmt: skip


def _procedure(path: str, segment: Segment, context: _Context) -> Iterator[TimedFact]:
    codes = field_codings(segment, 3)
    time, time_path = context.time(((path, segment), 5))
    _use(context, path, segment, 3, 4, 5, 19, 20)
    description = _value(segment, 4)
    name = (codes[0].code or codes[0].display) if codes else ""
    identifier = _value(segment, 19) or f"{context.visit or _value(context.message.header, 10)}/PR1/{name}"
    yield from _timed(
        context, path, "procedure", codes, identifier, time, time_path,
        text=description if description and not is_prose(description) else display(codes), retracted=segment.get(20) == "D",
    )  # fmt: skip


def _timed(
    context: _Context,
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
        version=context.version(_RANK["D"] if retracted else _RANK["F"]),
    )
    yield TimedFact(msgspec.structs.replace(fact, **rest), time_path)


def _value(segment: Segment, position: int, component: int = 1) -> str:
    text = segment.raw(position)
    if not text or (text.isalnum() and component == 1):
        return text if component == 1 else ""
    return _null(segment.get(position, component=component)).strip()


def _null(text: str) -> str:
    return "" if text == '""' else text


def _use(context: _Context, path: str, segment: Segment, *positions: int) -> None:
    context.used.update((path, position) for position in positions if segment.raw(position))


_READERS: dict[str, Callable[[str, Segment, _Context], Iterator[TimedFact]]] = {
    "OBR": _report,
    "OBX": _observation,
    "DG1": _diagnosis,
    "PRB": _problem,
    "AL1": _allergy,
    "IAM": _allergy,
    "PR1": _procedure,
    **dict.fromkeys(_MEDICATIONS, _medication),
}
