"""What a change of rules changes on sample messages: filled paths whose rule differs, with counts. No values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.deidentify.explain import OTHERWISE, Explainer
from agents.deidentify.form import Read
from ops.messages import NDJSON, read_folder
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import ConfigurationError, Poison
from schemas.hl7.batch import split_messages
from schemas.hl7.er7 import Message
from schemas.message import parse

SAMPLES = Path(__file__).with_name("samples")


@dataclass(frozen=True, slots=True)
class Change:
    """``count`` values at ``path`` (without ordinals) are treated as ``after`` instead of as ``before``."""

    path: str
    before: str
    after: str
    count: int


def changes(before: Read, after: Read, messages: Path | None = None) -> list[Change]:
    """Most frequent first. Raises ConfigurationError when one of the rule files breaks its promise."""
    old, new = Explainer(before), Explainer(after)
    found: list[Change] = []
    for (path, when), count in Counter(_filled(messages or SAMPLES)).items():
        try:
            a, b = _method(old, path, when), _method(new, path, when)
        except ConfigurationError:
            continue  # a name that no standard could have: redacted by any rules
        if a != b:
            found.append(Change(f"{path} ({when})" if when else path, a, b, count))
    for name, a, b in (
        ("dates in text", before.form.text.dates, after.form.text.dates),
        ("ages over 89", before.form.over_89, after.form.over_89),
        ("shift", _shift(before), _shift(after)),
    ):
        if a != b:
            found.append(Change(f"({name})", a, b, 0))
    return sorted(found, key=lambda row: (-row.count, row.path))


def _shift(read: Read) -> str:
    return f"{read.form.shift.max_days} days in steps of {read.form.shift.multiple_of}"


def _method(explainer: Explainer, path: str, when: str) -> str:
    """``redact``, or several by part: ``1: token, *: redact``."""
    rows = explainer.explain(path)
    rows = [row for row in rows if row.when == when] or [row for row in rows if row.when == OTHERWISE] or rows
    if len(rows) == 1:
        return rows[0].method
    return ", ".join(dict.fromkeys(f"{row.path.removeprefix(path).lstrip('.')}: {row.method}" for row in rows))


def _filled(root: Path) -> Iterator[tuple[str, str]]:
    """Path and, for OBX-5, what OBX-2 says."""
    for file in read_folder(root):
        payloads = file.payload.splitlines() if file.content_type == NDJSON else [file.payload]
        for payload in payloads:
            try:
                parts = split_messages(payload) if file.content_type == HL7_V2 else [payload]
                for part in parts:
                    parsed = parse(HL7_V2 if file.content_type == HL7_V2 else FHIR_JSON, part)
                    if isinstance(parsed, Message):
                        yield from _fields(parsed)
                    else:
                        yield from ((path, "") for path in _leaves(parsed, str(parsed["resourceType"])))
            except Poison:
                continue  # a sample of what the doors refuse


def _fields(message: Message) -> Iterator[tuple[str, str]]:
    for segment in message.segments:
        if segment.id:
            for position in segment.filled():
                path = f"{segment.id}-{position}"
                yield path, f"OBX-2 is {segment.get(2) or 'empty'}" if path == "OBX-5" else ""


def _leaves(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        inner = value.get("resourceType")
        if isinstance(inner, str):
            name = inner
        for key, child in value.items():
            if key != "resourceType":
                yield from _leaves(child, f"{name}.{key}")
    elif isinstance(value, list):
        for child in value:
            yield from _leaves(child, name)
    else:
        yield name
