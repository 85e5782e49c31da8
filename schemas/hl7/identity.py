"""Everybody and every number that an HL7 v2 message names (45 CFR 164.514(b)(2)(i); field list: table of that rule to fields).

The reader goes by datatype over *all* standard segments, so that a person in a field that nobody thought of is found too; the
segment only decides whose identifier it is. Fields that hold identifiers as plain text are listed. Z segments have no types and
are not read: they never leave de-identification.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache

import msgspec

from schemas.hl7 import tables
from schemas.hl7.er7 import Delimiters, Message, Segment
from schemas.identity import Identifier, MessageIdentity, Person, PersonDraft, PersonName, PostalAddress, Role, unique

NAME_TYPES = frozenset({"XPN", "PN"})
PERSON_TYPES = frozenset({"XCN", "CN", "PPN"})
NAME_LINK_TYPES = frozenset({"NDL"})
ID_TYPES = frozenset({"CX", "CK"})
ENTITY_TYPES = frozenset({"EI", "EIP"})
ADDRESS_TYPES = frozenset({"XAD", "AD"})
LICENCE_TYPES = frozenset({"DLN", "PLN", "PI"})
PHONE_TYPES = frozenset({"XTN", "TN"})

_IDENTIFYING = (
    NAME_TYPES | PERSON_TYPES | NAME_LINK_TYPES | ID_TYPES | ENTITY_TYPES | ADDRESS_TYPES | LICENCE_TYPES | PHONE_TYPES | {"XON"}
)
#: Fields of other types that ``_read_field`` knows by their place, and the value of an observation.
_SINGLE = frozenset({("MSH", 4), ("MSH", 6), ("MSH", 10), ("PV1", 39), ("PID", 23), ("STF", 1), ("OBX", 5)})

#: Segments that describe one person in all their fields.
_SEGMENT_ROLE = {
    "PID": Role.PATIENT,
    "MRG": Role.PATIENT,
    "NK1": Role.RELATIVE,
    "GT1": Role.GUARANTOR,
    "IN1": Role.INSURED,
    "IN2": Role.INSURED,
    "STF": Role.PRACTITIONER,
    "PRA": Role.PRACTITIONER,
    "ROL": Role.PRACTITIONER,
    "PRD": Role.PRACTITIONER,
    "CTD": Role.OTHER,
    "PRT": Role.PRACTITIONER,
}
#: Fields that name somebody else than the segment's person: mother's maiden names, spouses, contacts.
_OTHER_PERSON = {
    ("PID", 6),
    ("PID", 21),
    ("NK1", 26),
    ("NK1", 30),
    ("GT1", 4),
    ("GT1", 16),
    ("GT1", 42),
    ("GT1", 45),
    ("IN2", 40),
    ("IN2", 49),
    ("IN2", 52),
}

#: Identifiers that the standard types as plain text or code: (segment, field) -> table 0203 type.
_PLAIN_NUMBERS = {
    ("PID", 19): "SS",
    ("PID", 20): "DL",
    ("NK1", 37): "SS",
    ("GT1", 12): "SS",
    ("GT1", 53): "",
    ("IN1", 8): "GRP",
    ("IN1", 14): "AUTH",
    ("IN1", 36): "POLICY",
    ("IN2", 2): "SS",
    ("IN2", 6): "MC",
    ("IN2", 8): "MA",
    ("IN2", 10): "MI",
    ("STF", 22): "DL",
    ("PRA", 6): "LN",
    ("ACC", 10): "",
    ("PID", 38): "",
    ("OBR", 18): "",
    ("OBR", 19): "",
    ("OBR", 20): "",
    ("OBR", 21): "",
    ("RXE", 15): "",
    ("RXD", 7): "",
    ("RXA", 15): "LOT",
    ("TXA", 16): "FILE",
    ("PRT", 19): "SERIAL",
    ("PRT", 20): "LOT",
}
#: Of those, the ones that name their own person.
_PERSONAL = frozenset({"PID", "NK1", "GT1", "IN1", "IN2", "STF", "PRA"})


#: Birth date and sex of the segment's person.
_DEMOGRAPHICS = {"PID": (7, 8), "NK1": (16, 15), "GT1": (8, 9), "IN1": (18, 43), "STF": (6, 5)}
#: Number of the encounter, or of the account that stands for it.
_ENCOUNTER = {"PID": 18, "PV1": 19}
#: Events whose MRG holds another number of the patient in PID, which is retired (HL7 v2.5.1, 3.3.18 to 3.3.47): merge of patient, person,
#: number and account; change of number. Moves of accounts and visits between two patients (A43 to A45) are none.
_MERGES = frozenset({"A18", "A30", "A34", "A36", "A39", "A40", "A46", "A47"})


@dataclass(slots=True)
class _Found:
    """``subject``: whom the segment is about; ``other``: whom its fields of ``_OTHER_PERSON`` name."""

    subject: PersonDraft
    other: PersonDraft
    prior: list[Identifier] = field(default_factory=list)
    others: list[Person] = field(default_factory=list)
    numbers: list[Identifier] = field(default_factory=list)
    organizations: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Said:
    """What one segment says, whatever message it stands in."""

    subject: Person | None
    other: Person | None
    prior: tuple[Identifier, ...]
    others: tuple[Person, ...]
    numbers: tuple[Identifier, ...]
    organizations: tuple[str, ...]
    encounter: Identifier | None


_Key = tuple[str, tuple[str, ...]]
#: Segments of a feed name the same people all day: what they say is remembered by the fields that name somebody. Few, and not for long.
_REMEMBERED, _FORMS = 4_000, 16
_said: dict[tuple[Delimiters, str], dict[_Key, _Said]] = {}


def read_identity(message: Message) -> MessageIdentity:
    """Every identifier of the message, each repetition, unescaped, as written.

    The patient is the first PID; a second PID (A17, A24, several results) is among ``others`` with the role patient.
    ``MRG`` numbers are ``prior``; its name is one more name of the patient before it.
    """
    patient: Person | None = None
    visit = account = None
    heard: list[_Said] = []
    seen: set[_Key] = set()
    remembered = _said.get(form := (message.delimiters, message.charset))
    if remembered is None:
        if len(_said) >= _FORMS:
            _said.clear()
        remembered = _said[form] = {}
    for segment in message.segments:
        name = segment.id
        if not name or name[0] == "Z":
            continue
        key = _key(segment, name)
        if key is None or (key in seen and name != "PID"):
            continue
        seen.add(key)
        said = remembered.get(key)
        if said is None:
            if len(remembered) >= _REMEMBERED:
                remembered.clear()
            said = remembered[key] = _read_segment(segment)
        if name == "PID" and patient is None:
            patient, account = said.subject or Person(role=Role.PATIENT), said.encounter
            said = replace(said, subject=None)
        elif name == "MRG":
            patient = _joined(patient, said.subject) if said.subject and patient else patient
            said = replace(said, subject=None)
        elif name == "PV1" and visit is None:
            visit = said.encounter
        heard.append(said)
    return MessageIdentity(
        patient=patient,
        prior=unique(one for said in heard for one in said.prior),
        merges=_merges(message),
        others=unique(one for said in heard for one in _people_of(said)),
        encounter=visit or account,
        numbers=unique(one for said in heard for one in said.numbers),
        organizations=unique(one for said in heard for one in said.organizations),
    )


def _people_of(said: _Said) -> list[Person]:
    return [*said.others, *(one for one in (said.subject, said.other) if one is not None)]


def _joined(patient: Person, more: Person) -> Person:
    return msgspec.structs.replace(
        patient,
        names=unique((*patient.names, *more.names)),
        identifiers=unique((*patient.identifiers, *more.identifiers)),
        phones=unique((*patient.phones, *more.phones)),
        emails=unique((*patient.emails, *more.emails)),
        addresses=unique((*patient.addresses, *more.addresses)),
    )


def _merges(message: Message) -> bool:
    """One pair only: A40 may repeat its group of PID and MRG, and then nothing here says whose number is whose."""
    pairs = [segment.id for segment in message.segments if segment.id in {"PID", "MRG"}]
    return pairs == ["PID", "MRG"] and message.header.get(9, 1, 2) in _MERGES


def _key(segment: Segment, name: str) -> _Key | None:
    """Everything that ``_read_segment`` looks at; ``None`` when there is nothing."""
    raws = segment.raws(_looked_at(name))
    if name == "OBX" and (not raws[1] or (raws[0] if raws[0].isalnum() else segment.get(2)) not in _IDENTIFYING):
        raws = ("", "", *raws[2:])
    return (name, raws) if any(raws) or name == "PID" else None


def _read_segment(segment: Segment) -> _Said:
    name = segment.id
    found = _Found(PersonDraft(_SEGMENT_ROLE.get(name, Role.OTHER)), PersonDraft(Role.RELATIVE))
    for position, kind in _places(name):
        if segment.raw(position):
            own = segment.get(2) if (name, position) == ("OBX", 5) else kind
            target = found.other if (name, position) in _OTHER_PERSON else found.subject
            _read_field(segment, position, own, target, found)
    birth, sex = _DEMOGRAPHICS.get(name, (0, 0))
    if birth:
        found.subject.birth_date = _leaf(segment, segment.raw(birth), 1)
        found.subject.sex = _leaf(segment, segment.raw(sex), 1)
    encounter = _ENCOUNTER.get(name)
    return _Said(
        subject=found.subject.person() if name == "PID" or found.subject.says_something() else None,
        other=found.other.person() if found.other.says_something() else None,
        prior=unique(found.prior),
        others=unique(found.others),
        numbers=unique(found.numbers),
        organizations=unique(found.organizations),
        encounter=next(_identifiers(segment, encounter), None) if encounter else None,
    )


@cache
def _places(segment_id: str) -> tuple[tuple[int, str], ...]:
    """(position, datatype) of the fields that may identify somebody."""
    return tuple(
        (position, kind or "")
        for position, kind in enumerate(tables.field_types(segment_id), 1)
        if kind in _IDENTIFYING or (segment_id, position) in _PLAIN_NUMBERS or (segment_id, position) in _SINGLE
    )


@cache
def _looked_at(segment_id: str) -> tuple[int, ...]:
    """Fields of ``_places``, and beside them those that only count with them; of OBX the value's type first."""
    places = [position for position, _ in _places(segment_id)]
    if segment_id == "OBX":
        return (2, *places)
    return (*places, *_DEMOGRAPHICS.get(segment_id, ()))


def _read_field(segment: Segment, position: int, kind: str, subject: PersonDraft, found: _Found) -> None:
    key = (segment.id, position)
    if kind in NAME_TYPES:
        subject.names.extend(_names(segment, position))
    elif kind in PERSON_TYPES or kind in NAME_LINK_TYPES:
        found.others.extend(_people(segment, position, linked=kind in NAME_LINK_TYPES))
    elif kind in ID_TYPES:
        identifiers = list(_identifiers(segment, position))
        if segment.id == "MRG":
            found.prior.extend(identifiers)
        elif segment.id in _PERSONAL and key != ("PID", 18):
            subject.identifiers.extend(identifiers)
        else:
            found.numbers.extend(identifiers)
    elif kind in ENTITY_TYPES:
        found.numbers.extend(_entities(segment, position, paired=kind == "EIP"))
    elif kind in ADDRESS_TYPES:
        subject.addresses.extend(_addresses(segment, position))
    elif kind in PHONE_TYPES:
        _read_telecom(segment, position, subject)
    elif kind == "XON":
        _read_organization(segment, position, found)
    elif key in _PLAIN_NUMBERS or kind in LICENCE_TYPES:
        numbers = [
            Identifier(value=value, type=_PLAIN_NUMBERS.get(key, "LN"))
            for repetition in segment.repetitions(position)
            if (value := _leaf(segment, repetition, 1))
        ]
        (subject.identifiers if segment.id in _PERSONAL else found.numbers).extend(numbers)
    elif key == ("MSH", 10):
        found.numbers.append(Identifier(value=segment.get(10), type="MSH-10"))
    elif key in {("MSH", 4), ("MSH", 6), ("PV1", 39)}:
        if name := segment.get(position):
            found.organizations.append(name)
    elif key == ("PID", 23):
        subject.addresses.extend(PostalAddress(city=segment.leaf(text)) for text in segment.repetitions(position))
    elif key == ("STF", 1):
        subject.identifiers.append(Identifier(value=segment.get(1)))


def _names(segment: Segment, position: int) -> Iterator[PersonName]:
    """XPN: family (FN: own name, prefixes), given, further given names, suffix, prefix, degree."""
    for repetition in segment.repetitions(position):
        name = _name(segment, _leaves(segment, repetition, 6), _subleaves(segment, repetition, 1))
        if name is not None:
            yield name


def _name(segment: Segment, parts: list[str], family_parts: list[str]) -> PersonName | None:
    _, given, middle, suffix, prefix, degree = parts
    family = " ".join(part for part in family_parts[:1] if part)
    text = ""
    if not given and not middle and family:
        text = family  # senders put whole names into the family component
    extra = [part for part in family_parts[1:] if part]
    if extra:
        text = " ".join([*extra, family])
    if not (family or given or middle or extra):
        return None
    return PersonName(
        family=family,
        given=tuple(part for part in (given, middle) if part),
        prefix=prefix,
        suffix=" ".join(part for part in (suffix, degree) if part),
        text=text,
    )


def _people(segment: Segment, position: int, *, linked: bool) -> Iterator[Person]:
    """XCN: id number, a name as in XPN one place further, assigning authority, identifier type; NDL: all that in component 1."""
    for repetition in segment.repetitions(position):
        if linked:
            parts = _subleaves(segment, repetition, 1)
            system = parts[8] if len(parts) > 8 else ""
            kind = ""
        else:
            parts = _leaves(segment, repetition, 13)
            system, kind = parts[8], parts[12]
        parts = [*parts[:7], *[""] * (7 - len(parts))]
        family_parts = [parts[1]] if linked else _subleaves(segment, repetition, 2)
        name = _name(segment, parts[1:7], family_parts or [""])
        identifiers = (Identifier(value=parts[0], system=system, type=kind),) if parts[0] else ()
        if name or identifiers:
            yield Person(role=Role.PRACTITIONER, names=(name,) if name else (), identifiers=identifiers)


def _identifiers(segment: Segment, position: int) -> Iterator[Identifier]:
    """CX: number, check digit, scheme, assigning authority, identifier type (table 0203)."""
    for repetition in segment.repetitions(position):
        value, _, _, system, kind = _leaves(segment, repetition, 5)
        if value:
            yield Identifier(value=value, system=system, type=kind)


def _entities(segment: Segment, position: int, *, paired: bool) -> Iterator[Identifier]:
    """EI: number, namespace; EIP holds two of them, placer and filler, as subcomponents."""
    for repetition in segment.repetitions(position):
        components = segment.components(repetition)
        pairs = [segment.subcomponents(text) for text in components[:2]] if paired else [components]
        for pair in pairs:
            if pair[0] and pair[0] != '""':
                yield Identifier(value=segment.leaf(pair[0]), system=segment.leaf(pair[1]) if len(pair) > 1 else "")


def _addresses(segment: Segment, position: int) -> Iterator[PostalAddress]:
    """XAD: street (SAD: line, street name, dwelling), second line, city, state, postal code, country; county in 9, 19, 20."""
    for repetition in segment.repetitions(position):
        leaves = _leaves(segment, repetition, 19)
        city, state, postal_code, country = leaves[2:6]
        lines = (leaves[0], leaves[1], leaves[7], leaves[18], *_subleaves(segment, repetition, 1)[1:])
        kept = tuple(line for line in lines if line)
        if kept or city or postal_code:
            yield PostalAddress(lines=kept, city=city, state=state, postal_code=postal_code, country=country)


def _read_telecom(segment: Segment, position: int, subject: PersonDraft) -> None:
    """XTN: number as written, e-mail in 4 (or in 1), country, area, local number, extension in 5 to 8, unformatted in 12."""
    for repetition in segment.repetitions(position):
        leaves = _leaves(segment, repetition, 12)
        for text in (leaves[0], leaves[3], leaves[11]):
            if "@" in text:
                subject.emails.append(text)
            elif any(char.isdigit() for char in text):
                subject.phones.append(text)
        assembled = leaves[5] + leaves[6]
        if len(assembled) > 4:
            subject.phones.append(assembled)


def _read_organization(segment: Segment, position: int, found: _Found) -> None:
    """XON: name, and its number in 10 (or 3)."""
    for repetition in segment.repetitions(position):
        leaves = _leaves(segment, repetition, 10)
        if leaves[0]:
            found.organizations.append(leaves[0])
        if number := leaves[9] or leaves[2]:
            found.numbers.append(Identifier(value=number, system=leaves[5], type="XX"))


def _leaves(segment: Segment, repetition: str, count: int) -> list[str]:
    """The first ``count`` components, each its first subcomponent, unescaped; HL7's null ``""`` is empty."""
    leaves = [segment.plain(text) for text in segment.components(repetition)[:count]]
    return leaves + [""] * (count - len(leaves))


def _leaf(segment: Segment, repetition: str, component: int) -> str:
    """First subcomponent of a component, unescaped; HL7's null ``""`` is empty."""
    components = segment.components(repetition)
    return segment.plain(components[component - 1]) if component <= len(components) else ""


def _subleaves(segment: Segment, repetition: str, component: int) -> list[str]:
    components = segment.components(repetition)
    if component > len(components):
        return []
    leaves = [segment.leaf(text).strip() for text in segment.subcomponents(components[component - 1])]
    return ["" if text == '""' else text for text in leaves]
