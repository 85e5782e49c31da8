"""What was ordered, dispensed or given: RXO, RXE, RXD, RXG, RXA, RXC, with the route and site of the RXR behind it."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.clinical import Coding
from schemas.hl7.codes import display, field_codings
from schemas.hl7.er7 import Message, Segment
from schemas.hl7.fact_context import Context, TimedFact, field_value, timed_fact, use_fields
from schemas.hl7.values import read_number

#: (segment) -> fields of code, amount, units, times.
MEDICATIONS: dict[str, tuple[int, int, int, tuple[int, ...]]] = {
    "RXO": (1, 2, 4, ()),
    "RXE": (2, 3, 5, (32,)),
    "RXD": (2, 4, 5, (3,)),
    "RXG": (4, 5, 7, ()),
    "RXA": (5, 6, 7, (3,)),
    "RXC": (2, 3, 4, ()),
}
_ORDERS = frozenset({"RXO", "RXE"})
#: Coded fields of RXA that say more of what was given, by the name of their element in FHIR.
_GIVEN = {"reportOrigin": 9, "manufacturer": 17, "statusReason": 18, "reasonCode": 19}


def routes(message: Message) -> dict[str, tuple[str, Segment]]:
    """The first RXR behind each segment that it belongs to, by that segment's path."""
    found: dict[str, tuple[str, Segment]] = {}
    owner = ""
    for path, segment in message.walk():
        if segment.id in MEDICATIONS and segment.id != "RXC":
            owner = path
        elif segment.id == "RXR" and owner:
            found.setdefault(owner, (path, segment))
        elif segment.id in ("ORC", "OBR"):
            owner = ""
    return found


def read_medication(path: str, segment: Segment, context: Context) -> Iterator[TimedFact]:
    code, amount, unit, times = MEDICATIONS[segment.id]
    codes = field_codings(segment, code)
    own = [((path, segment), position) for position in times]
    time, time_path = context.time(*own, (context.order, 15), (context.order, 9))
    use_fields(context, path, segment, code, amount, unit)
    control, status = (context.order[1].get(1), context.order[1].get(5)) if context.order else ("", "")
    if context.order:
        use_fields(context, context.order[0], context.order[1], 1, 5)
    details: dict[str, tuple[Coding, ...]] = {}
    if segment.id == "RXA":  # what was given has a status of its own; "RE" means refused there and something else in ORC-1
        status, control = segment.get(20), "CA" if segment.get(21) == "D" else control
        use_fields(context, path, segment, 20, 21, *_GIVEN.values())
        details |= {name: found for name, position in _GIVEN.items() if (found := field_codings(segment, position))}
    if route := context.routes.get(path):
        use_fields(context, *route, 1, 2)
        details |= {name: found for name, position in (("route", 1), ("site", 2)) if (found := field_codings(route[1], position))}
    name = (codes[0].code or codes[0].display) if codes else ""
    yield from timed_fact(
        context, path, "medication", codes, f"{context.order_number()}/{segment.id}/{name}", time, time_path,
        text=display(codes), value=read_number(field_value(segment, amount)), unit=field_value(segment, unit) or field_value(segment, unit, 2),
        status=status if segment.id == "RXA" else status or control, retracted=control in ("CA", "OC", "CR"), details=details,
        order=context.order_number() if segment.id in _ORDERS else "",
    )  # fmt: skip
