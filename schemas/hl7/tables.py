"""Datatype of every HL7 v2 field and component, one table over v2.1 to v2.8.2.

Source: the message definitions of those versions as generated into hl7apy 1.3.5 (MIT License, CRS4); see
``generate_tables.py`` for how versions that disagree are merged (the more identifying type wins).
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from types import MappingProxyType

import msgspec

Table = MappingProxyType[str, tuple[str | None, ...]]


class _File(msgspec.Struct, frozen=True):
    fields: dict[str, str]
    components: dict[str, str]


@cache
def _tables() -> tuple[Table, Table]:
    data = msgspec.json.decode(resources.files("schemas.hl7").joinpath("tables.json").read_bytes(), type=_File)
    return _split(data.fields), _split(data.components)


def _split(rows: dict[str, str]) -> Table:
    return MappingProxyType({owner: tuple(None if kind == "-" else kind for kind in row.split()) for owner, row in rows.items()})


def is_segment(segment: str) -> bool:
    """Whether any version of the standard defines the segment."""
    return segment in _tables()[0]


def field_types(segment: str) -> tuple[str | None, ...]:
    """Datatypes of the fields 1..n; empty for a segment that no version defines."""
    return _tables()[0].get(segment, ())


def field_type(segment: str, field: int) -> str | None:
    """Datatype (``CX``, ``varies``) of a field counted from 1; ``None`` when no version defines it."""
    row = _tables()[0].get(segment, ())
    return row[field - 1] if 1 <= field <= len(row) else None


def component_types(datatype: str) -> tuple[str | None, ...]:
    """Datatypes of the components 1..n; empty for a primitive type and for one that no version defines."""
    return _tables()[1].get(datatype, ())
