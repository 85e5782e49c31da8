"""Validation of what leaves, without asking the same question twice.

A full validation costs 10 to 30 ms for a Bundle of a long note, most of it for shapes that have been seen a thousand times. ``Checker``
validates every *shape* of a resource in full (``schemas.fhir.validate``): its element names, which values are strings, numbers or
lists, and literally every value that FHIR constrains by more than its type. Only values of types that any text of the type's pattern
satisfies (strings, ids that are UUIDs, ``urn:uuid`` references, base64, dates) are left out of the shape once they match that pattern.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from decimal import Decimal
from typing import Any

from agents.publish.names import Object
from schemas.errors import MalformedMessage, Poison, Reason
from schemas.fhir.validate import validate

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: FHIR string: no control characters but tab and line ends, not only blanks (narrower than http://hl7.org/fhir/R4/datatypes.html#string).
_STRING = re.compile(
    r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\s](?:[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]*[^\x00-\x20\x7f-\x9f\ud800-\udfff\s])?"
)
_FREE: dict[str, re.Pattern[str]] = {
    **dict.fromkeys(
        ("text", "display", "valueString", "detail", "title", "value", "name", "family", "given", "line", "city", "postalCode"), _STRING
    ),
    "id": re.compile(_UUID),
    "fullUrl": re.compile(f"urn:uuid:{_UUID}"),
    "reference": re.compile(f"urn:uuid:{_UUID}"),
    "data": re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "birthDate": re.compile(r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"),
}  # fmt: skip
for _name in ("identifiedDateTime", "occurrenceDateTime", "timestamp", "recorded"):
    _FREE[_name] = re.compile(
        r"20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d)"
    )
#: A code of a system that FHIR binds to nothing.
_CODE = re.compile(r"[A-Za-z0-9.:_/-]{1,64}")
_BOUND = "http://terminology.hl7.org/"
_SHAPES = 5_000


class Checker:
    """One per stage; safe to use from several threads (a shape may then be validated twice)."""

    def __init__(self) -> None:
        self._known: OrderedDict[Any, None] = OrderedDict()

    def check(self, bundle: Object) -> None:
        """Every resource and the Bundle around them.

        Raises:
            Poison: ``OUTPUT_INVALID`` with the path of what FHIR R4 does not allow.
        """
        for position, entry in enumerate(bundle["entry"]):
            self._check(entry["resource"], f"Bundle.entry[{position}].resource")
        # The Bundle's own elements; its resources have had their turn, one stands for all.
        self._check(bundle | {"entry": bundle["entry"][:1]}, "Bundle")

    def _check(self, resource: Object, path: str) -> None:
        shape = shape_of(resource)
        if shape in self._known:
            return
        try:
            validate(resource)
        except MalformedMessage as error:
            raise Poison(Reason.OUTPUT_INVALID, path=f"{path} {error.path}") from None
        self._known[shape] = None
        if len(self._known) > _SHAPES:
            self._known.popitem(last=False)


def shape_of(value: Any, key: str = "", system: str = "") -> Any:
    """Equal for values that a validation cannot tell apart; hashable."""
    if isinstance(value, dict):
        inner = value.get("system", "")
        return tuple((name, shape_of(part, name, inner if isinstance(inner, str) else "")) for name, part in value.items())
    if isinstance(value, list):
        return ("list", frozenset(shape_of(part, key, system) for part in value))
    if isinstance(value, str):
        pattern = _CODE if key == "code" and system and not system.startswith(_BOUND) else _FREE.get(key)
        return "free" if pattern is not None and pattern.fullmatch(value) else ("exact", value)
    if isinstance(value, bool) or value is None:
        return ("exact", value)
    if isinstance(value, Decimal | float):
        return "decimal"
    return "positive" if value > 0 else ("exact", value)
