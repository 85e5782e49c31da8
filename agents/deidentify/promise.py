"""What each profile promises, and which rules of a file break it. Loading refuses such a file; ``wardstream deid lint`` lists them.

* ``safe_harbor``: 45 CFR 164.514(b)(2)(i): of dates the year, of places the state and three ZIP digits, ages up to 89.
* ``expert``: 164.514(b)(1): as Safe Harbor, but dates are shifted per patient; whether the risk is very small an expert says.
* ``limited``: 164.514(e)(2): dates, city, state, ZIP code may stay, under a data use agreement.
* ``internal``: treatment and operations: dates and places stay, persons are pseudonyms.

In all of them names, contacts and numbers go or become tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agents.deidentify.form import PolicyForm
from schemas.fhir.definitions import element
from schemas.hl7 import tables

_CLEAR = frozenset({"code", "term", "display", "number", "comparator", "keep", "scrub", "recurse", "note"})
#: Methods by the least strict thing that they leave.
_DATES = frozenset({"date"})
_SHIFTED = frozenset({"shift"})
_PLACES = frozenset({"city", "zip5"})
#: Derived from what it replaces (45 CFR 164.514(c)).
_INVENTED = frozenset({"surrogate", "encrypt"})
#: Beyond the methods that any profile has.
_ALLOWED: Mapping[str, frozenset[str]] = {
    "safe_harbor": frozenset(),
    "expert": _SHIFTED | _INVENTED,
    "limited": _DATES | _SHIFTED | _PLACES | _INVENTED,
    "internal": _DATES | _SHIFTED | _PLACES | _INVENTED,
}
_SAYS: Mapping[str, str] = {
    "safe_harbor": "45 CFR 164.514(b)(2)(i)",
    "expert": "45 CFR 164.514(b)(1)",
    "limited": "45 CFR 164.514(e)(2)",
    "internal": "the profile's own promise: persons are pseudonyms",
}

#: HL7 datatypes that are identifiers as a whole -> what each component may be in clear; every other component must not be named
#: with a method that leaves it readable.
_HL7: Mapping[str, Mapping[int, frozenset[str]]] = {
    **{
        name: {}
        for name in (
            "PN",
            "XTN",
            "TN",
            "PL",
            "XON",
            "DLN",
            "PLN",
            "NDL",
            "CNN",
            "XCN",
            "CN",
            "PPN",
            "EI",
            "EIP",
            "DR",
            "HD",
            "FN",
            "SAD",
            "LA1",
            "LA2",
        )
    },
    **{name: {} for name in ("TS", "DT", "DTM", "TM")},
    **{name: {5: frozenset({"code"})} for name in ("CX", "CK")},
    **{name: {7: frozenset({"code"})} for name in ("XAD", "AD")},
    "XPN": {7: frozenset({"code"})},  # kind of name
}
#: Places and houses of care, which internal use may name.
_FACILITY_PATHS = frozenset({"Organization.name", "Location.name"})
_FACILITIES = frozenset({"PL", "XON", "HD"})
_FHIR_WHOLE = ("HumanName", "ContactPoint", "ContactDetail", "Signature", "LocationPosition", "Contributor", "DeviceUdiCarrier")
#: Of names and contacts, what tells nobody.
_HARMLESS = frozenset({"use", "system", "rank"})
_FHIR_DATES = ("date", "dateTime", "instant", "time")
#: Elements of datatypes that are identifiers; all others of these types are no identifiers.
_FHIR_PARTS: Mapping[str, frozenset[str]] = {
    "Address": frozenset({"text", "line", "city", "district", "postalCode", "period"}),
    "Identifier": frozenset({"value", "assigner", "period"}),
    "Reference": frozenset({"display", "reference"}),
    "Attachment": frozenset({"url", "title", "hash", "creation"}),
    "Annotation": frozenset({"authorString", "time"}),
    "Period": frozenset({"start", "end"}),
    "Narrative": frozenset(),
}
#: Fields that hold an identifier under a datatype that usually holds none (45 CFR 164.514(b)(2)(i)(A-R)).
_FIELDS = frozenset({
    "PID-12", "PID-19", "PID-20", "PID-23", "NK1-37", "GT1-12", "IN2-2", "OBX-18", "PRA-6", "ACC-11", "IN1-8", "IN1-10", "IN1-36",
    "IN2-8", "IN2-61", "GT1-19", "STF-24", "STF-25", "STF-26",
})  # fmt: skip
#: Names of software and of message profiles, under datatypes of identifiers.
_NOT_OF_PEOPLE = frozenset({"MSH-3", "MSH-5", "MSH-21"})
#: A FHIR path that ends so is an identifier, whatever resource it stands in.
_PATH_ENDS = (
    ".name", ".telecom", ".photo", ".birthDate", ".identifier.value", ".address", ".address.line", ".address.city", ".family", ".given",
    ".serialNumber", ".subscriberId", ".display.name", ".deceasedDateTime",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Broken:
    """``rule`` as a place in the file (``hl7.datatypes.XPN.1``); ``why`` in words, with the source."""

    rule: str
    method: str
    why: str


def broken(form: PolicyForm) -> Iterator[Broken]:
    """Every rule that the profile's promise forbids."""
    yield from _Judge(form).all()


class _Judge:
    def __init__(self, form: PolicyForm) -> None:
        self._form = form
        self._allowed, self._source = _ALLOWED[form.profile], _SAYS[form.profile]

    def all(self) -> Iterator[Broken]:
        yield from self._hl7()
        yield from self._fhir()
        yield from self._ages_and_text()

    def _method(self, rule: str, method: str, *, identifier: bool, clear: frozenset[str] = frozenset()) -> Iterator[Broken]:
        if method in _INVENTED and method not in self._allowed:
            what = "a surrogate" if method == "surrogate" else "a ciphertext"
            yield Broken(rule, method, f"{what} is derived from what it replaces (45 CFR 164.514(c))")
        elif method in _DATES | _SHIFTED | _PLACES and method not in self._allowed:
            what = "shifts a date" if method in _SHIFTED else "keeps more of it than the profile may"
            yield Broken(rule, method, f"{what} ({self._source})")
        elif identifier and method in _CLEAR and method not in clear:
            yield Broken(rule, method, f"keeps an identifier ({self._source})")

    def _each(self, at: str, rule: str | Mapping[int, str], parts: Mapping[int, frozenset[str]] | None) -> Iterator[Broken]:
        if isinstance(rule, str):
            yield from self._method(at, rule, identifier=parts is not None)
        else:
            for n, method in rule.items():
                clear = (parts or {}).get(n, frozenset[str]())
                yield from self._method(f"{at}.{n}", method, identifier=parts is not None, clear=clear)

    def _parts(self, kind: str | None) -> Mapping[int, frozenset[str]] | None:
        """Components of an identifying datatype; ``None`` for one that is no identifier under this profile."""
        return None if self._form.profile == "internal" and kind in _FACILITIES else _HL7.get(kind or "")

    def _field_parts(self, path: str) -> Mapping[int, frozenset[str]] | None:
        if path in _FIELDS:
            return {}
        if path in _NOT_OF_PEOPLE:
            return None
        segment, _, number = path.partition("-")
        return self._parts(tables.field_type(segment, int(number)) if number.isdigit() else None)

    def _hl7(self) -> Iterator[Broken]:
        part = self._form.hl7
        for kind, rule in part.datatypes.items():
            yield from self._each(f"hl7.datatypes.{kind}", rule, self._parts(kind))
        for row in part.fields:
            at = f"hl7.fields.{row.path}"
            if row.use is not None:
                yield from self._each(at, row.use, self._field_parts(row.path))
            for kind, case in row.cases.items():
                yield from self._each(f"{at}.{kind}", case, self._parts(kind))
            if row.default != "redact":
                yield Broken(f"{at}.default", str(row.default), "a value of a type that no case names must be redacted")
        for name in ("ST", "varies", "RP"):
            if part.datatypes.get(name, "redact") != "redact":
                yield Broken(f"hl7.datatypes.{name}", str(part.datatypes[name]), "strings that no rule names must be redacted")

    def _fhir(self) -> Iterator[Broken]:
        part = self._form.fhir
        for kind, rule in part.types.items():
            at = f"fhir.types.{kind}"
            whole = kind in _FHIR_WHOLE
            if isinstance(rule, str):
                yield from self._method(at, rule, identifier=whole or kind in _FHIR_DATES or kind in _FHIR_PARTS)
            else:
                for element, method in rule.items():
                    identifier = (whole and element not in _HARMLESS) or element in _FHIR_PARTS.get(kind, ())
                    yield from self._method(f"{at}.{element}", method, identifier=identifier)
        if part.types.get("string", "redact") != "redact":
            yield Broken("fhir.types.string", str(part.types["string"]), "strings that no rule names must be redacted")
        for row in part.paths:
            place = self._form.profile == "internal" and row.path in _FACILITY_PATHS
            identifier = row.path.endswith(_PATH_ENDS) or (row.use != "recurse" and _is_identifier(row.path))
            yield from self._method(f"fhir.paths.{row.path}", row.use, identifier=not place and identifier)
        for kind, rows in part.elements.items():
            for element, method in rows.items():
                identifier = (kind in _FHIR_WHOLE and element not in _HARMLESS) or element in _FHIR_PARTS.get(kind, ())
                yield from self._method(f"fhir.elements.{kind}.{element}", method, identifier=identifier)

    def _ages_and_text(self) -> Iterator[Broken]:
        form, keeps = self._form, bool(_DATES & self._allowed)
        if form.over_89 == "keep" and not keeps:
            yield Broken("over_89", "keep", f"keeps ages over 89 ({self._source})")
        if form.text.dates == "keep" and not keeps:
            yield Broken("text.dates", "keep", f"keeps dates in text ({self._source})")
        if form.text.dates == "shift" and not _SHIFTED & self._allowed:
            yield Broken("text.dates", "shift", f"shifts dates in text ({self._source})")
        if form.text.replace == "surrogate" and not _INVENTED & self._allowed:
            yield Broken("text.replace", "surrogate", "a surrogate is derived from what it replaces (45 CFR 164.514(c))")
        if not {"known", "pattern"} <= set(form.text.layers):
            yield Broken("text.layers", ",".join(form.text.layers), "text needs the layers known and pattern at least")
        if not 1 <= form.shift.multiple_of <= form.shift.max_days <= 365:
            yield Broken(
                "shift", str(form.shift.max_days), "max_days is at most 365, multiple_of at least 1 and at most max_days"
            )


def _is_identifier(path: str) -> bool:
    """Whether the type of the element, or its place in a datatype, makes it an identifier."""
    owner, *keys = path.split(".")
    for key in keys[:-1]:
        found = element(owner, key)
        if found is None:
            return False
        owner = found.type
    last = element(owner, keys[-1]) if keys else None
    if last is None:
        return False
    whole = last.type in _FHIR_WHOLE or last.type in _FHIR_DATES or last.type in ("Address", "Identifier")
    return whole or (owner in _FHIR_WHOLE and last.name not in _HARMLESS) or last.name in _FHIR_PARTS.get(owner, ())
