"""The coded statements of a message: observations, problems, allergies, medications, procedures.

Each fact comes with the path of the field that its time stands in (OBX-14, else OBR-7, else MSH-7, and so on), because
de-identification keeps times by that path and not in the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from schemas.clinical import Coding, Fact, FactKind
from schemas.hl7.codes import LOINC, MDC, display, field_codings
from schemas.hl7.er7 import Message, Segment
from schemas.hl7.fact_context import (
    RANK,
    RETRACTED,
    VERSION_RANK,
    Context,
    TimedFact,
    field_value,
    timed_fact,
    use_fields,
    without_null,
)
from schemas.hl7.medications import MEDICATIONS, read_medication, routes
from schemas.hl7.values import first_leaf, is_prose, read_value

#: Messages whose OBR heads results; elsewhere it is an order, unless OBR-25 tells a result's status.
_RESULTS = frozenset({"ORU", "OUL"})
#: OBX-11 without a value: specimen in the laboratory, order alone. The result is to come.
_PENDING = frozenset({"I", "O"})
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


def read_facts(message: Message) -> tuple[list[TimedFact], set[tuple[str, int]]]:
    """Facts in the order of the message, and the (segment path, field) that they were read from."""
    context = Context(message, routes=routes(message))
    facts: list[TimedFact] = []
    for path, segment in message.walk():
        match segment.id:
            case "PV1":
                context.visit = field_value(segment, 19)
            case "ORC":
                context.begin(order=(path, segment), request=None)
            case "OBR":
                context.begin(order=context.order, request=(path, segment))
            case "SPM":
                context.report = ""  # what follows is said of the specimen
        if segment.id in _READERS:
            found = _READERS[segment.id](path, segment, context)
            facts.extend(TimedFact(row.fact, row.time_path, context.version_path) for row in found)
    return facts, context.used


#: A version on the patient's clock sorts after every version of its rank that still has calendar digits (years before 3000).
_CLOCK = 3 * 10**13


def on_patient_clock(version: int, minutes: int) -> int:
    """The version with the patient's own clock in place of a calendar time that de-identification cut to the year."""
    return version // VERSION_RANK * VERSION_RANK + _CLOCK + max(0, minutes)


def _report(path: str, segment: Segment, context: Context) -> Iterator[TimedFact]:
    status, codes = segment.get(25), field_codings(segment, 4)
    if not codes or not (status or context.message.header.get(9) in _RESULTS):
        return
    time, time_path = context.time(((path, segment), 7))
    use_fields(context, path, segment, 4, 25)
    fact = Fact(
        id=context.unique(context.order_number(), "OBR", codes[0].code or codes[0].display),
        kind="report",
        path=path,
        codes=codes,
        status=status,
        time=time,
        version=context.version(RANK.get(status, 0)),
    )
    context.report = fact.id
    yield TimedFact(fact, time_path)


def _observation(path: str, segment: Segment, context: Context) -> Iterator[TimedFact]:
    kind = segment.get(2)
    codes = field_codings(segment, 3)
    value = read_value(segment, kind)
    status = segment.get(11) or (context.request[1].get(25) if context.request else "")
    pending = status in _PENDING and not segment.raw(5)
    if not codes or not (value or pending or status in RETRACTED):
        return
    time, time_path = context.time(((path, segment), 14), (context.request, 7))
    use_fields(context, path, segment, 2, 3, 4, 5, 6, 7, 8, 11, 14, *_OBSERVED.values())
    yield TimedFact(
        Fact(
            id=context.unique(context.order_number(), codes[0].code or codes[0].display, segment.get(4)),
            # what is to come is no value that a rule could take for the latest one
            kind="other" if pending else _observation_kind(segment, codes, kind, context),
            path=path,
            codes=codes,
            unit=field_value(segment, 6) or field_value(segment, 6, 2),
            reference_range=field_value(segment, 7),
            interpretation=tuple(code for text in segment.repetitions(8) if (code := first_leaf(segment, text))),
            status=status,
            time=time,
            version=context.version(RANK.get(status, 0)),
            retracted=status in RETRACTED,
            value=value.number if value else None,
            comparator=value.comparator if value else "",
            text=value.text if value else "",
            value_codes=value.codes if value else (),
            part_of=context.report,
            details={name: found for name, position in _OBSERVED.items() if (found := field_codings(segment, position))},
        ),
        time_path,
    )


#: Coded fields of OBX that say more of what was observed, by the name of their element in FHIR.
_OBSERVED = {"method": 17, "bodySite": 20}


def _observation_kind(segment: Segment, codes: tuple[Coding, ...], kind: str, context: Context) -> FactKind:
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


def _diagnosis(path: str, segment: Segment, context: Context) -> Iterator[TimedFact]:
    codes = field_codings(segment, 3)
    time, time_path = context.time(((path, segment), 5))
    use_fields(context, path, segment, 3, 4, 5, 6, 20, 21)
    name = codes[0].code if codes else ""
    identifier = field_value(segment, 20) or f"{context.visit or field_value(context.message.header, 10)}/DG1/{name}"
    description = field_value(segment, 4)
    yield from timed_fact(
        context, path, "problem", codes, identifier, time, time_path,
        text=description if description and not is_prose(description) else display(codes),
        status=segment.get(6), retracted=segment.get(21) == "D",
    )  # fmt: skip


def _problem(path: str, segment: Segment, context: Context) -> Iterator[TimedFact]:
    codes = field_codings(segment, 3)
    time, time_path = context.time(((path, segment), 16), ((path, segment), 7), ((path, segment), 2))
    use_fields(context, path, segment, 1, 3, 4, 14)
    identifier = field_value(segment, 4) or f"PRB/{codes[0].code if codes else ''}"
    yield from timed_fact(
        context, path, "problem", codes, identifier, time, time_path,
        text=display(codes), status=segment.get(14), retracted=segment.get(1) == "DE",
    )  # fmt: skip


def _allergy(path: str, segment: Segment, context: Context) -> Iterator[TimedFact]:
    """AL1 and IAM: allergen, type, severity, reactions; both are per patient, so the id does not hold the message."""
    adverse = segment.id == "IAM"
    codes = field_codings(segment, 3)
    places = (11, 13, 20) if adverse else (6,)
    time, time_path = context.time(*(((path, segment), position) for position in places))
    use_fields(context, path, segment, 2, 3, 4, 5, *((6, 7, 17) if adverse else ()))
    identifier = (field_value(segment, 7) if adverse else "") or f"allergy/{(codes[0].code or codes[0].display) if codes else ''}"
    reactions = [without_null(segment.leaf(text)) for text in segment.repetitions(5)]
    yield from timed_fact(
        context, path, "allergy", codes, identifier, time, time_path,
        text="; ".join(filter(None, reactions)),
        interpretation=tuple(filter(None, (segment.get(4),))),
        status=segment.get(17) if adverse else "",
        retracted=adverse and segment.get(6) == "D",
    )  # fmt: skip


def _procedure(path: str, segment: Segment, context: Context) -> Iterator[TimedFact]:
    codes = field_codings(segment, 3)
    time, time_path = context.time(((path, segment), 5))
    use_fields(context, path, segment, 3, 4, 5, 19, 20)
    description = field_value(segment, 4)
    name = (codes[0].code or codes[0].display) if codes else ""
    identifier = field_value(segment, 19) or f"{context.visit or field_value(context.message.header, 10)}/PR1/{name}"
    yield from timed_fact(
        context, path, "procedure", codes, identifier, time, time_path,
        text=description if description and not is_prose(description) else display(codes), retracted=segment.get(20) == "D",
    )  # fmt: skip


_READERS: dict[str, Callable[[str, Segment, Context], Iterator[TimedFact]]] = {
    "OBR": _report,
    "OBX": _observation,
    "DG1": _diagnosis,
    "PRB": _problem,
    "AL1": _allergy,
    "IAM": _allergy,
    "PR1": _procedure,
    **dict.fromkeys(MEDICATIONS, read_medication),
}
