"""Identifiers of the patient and the relatives, read and searched without the product's own readers, normaliser and leak gate.

Simple on purpose: HL7 is split at its separators, JSON and XML are walked. Three ways to search: verbatim between word borders, digits
and letters run together (numbers, phones, dates), and word by word (names, address lines).
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring

from schemas.envelope import HL7_V2

_WORD = re.compile(r"[^\W_]+")
_NAME_PART = re.compile(r"[^\W\d_]{3,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_RUN = re.compile(r"\d(?:[ .()/-]{0,2}\d){5,}")
#: PID, NK1, GT1, IN1, MRG (HL7 2.5.1, chapters 3 and 6): field -> what it holds.
_HL7 = {
    b"PID": {2: "number", 3: "number", 4: "number", 5: "name", 6: "name", 7: "date", 9: "name", 11: "address", 13: "phone", 14: "phone",
             18: "number", 19: "number", 20: "number"},
    b"NK1": {2: "name", 4: "address", 5: "phone", 6: "phone", 33: "number"},
    b"GT1": {2: "number", 3: "name", 4: "name", 5: "address", 6: "phone", 7: "phone", 12: "number"},
    b"IN1": {16: "name", 19: "address", 36: "number", 49: "number"},
    b"MRG": {1: "number", 2: "number", 3: "number", 4: "number", 7: "name"},
}  # fmt: skip


@dataclass(slots=True)
class Values:
    """Plain values; ``names`` are family name first, then given names."""

    names: set[tuple[str, ...]] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    lines: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)

    def count(self) -> int:
        return sum(map(len, (self.names, self.numbers, self.phones, self.lines, self.dates)))

    def add(self, kind: str, value: str) -> None:
        """``kind``: number, phone, address line or date."""
        value = value.strip()
        letters = "".join(_WORD.findall(value))
        if kind == "number" and len(letters) >= 5 and sum(c.isdigit() for c in letters) >= 3 and letters.strip("0"):
            self.numbers.add(value)
        elif kind == "phone" and ("@" in value or sum(c.isdigit() for c in value) >= 7):
            self.phones.add(value)
        elif kind == "address" and len(value) >= 6 and " " in value:
            self.lines.add(value)
        elif kind == "date" and re.match(r"\d{4}-?\d{2}-?\d{2}", value):
            self.dates.add(value.replace("-", "")[:8])


def values_of(content_type: str, payload: bytes) -> Values:
    """What the message says about the patient and the relatives."""
    values = Values()
    if content_type == HL7_V2:
        _read_hl7(payload, values)
    elif content_type == "text/xml":
        _read_cda(fromstring(payload), values)
    else:
        _read_fhir(json.loads(payload), values)
    return values


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _read_hl7(payload: bytes, values: Values) -> None:
    payload = payload.replace(b"\r\n", b"\r").replace(b"\n", b"\r").lstrip(b"\xef\xbb\xbf\x0b\r ")
    bar, caret, tilde, sub = (payload[n : n + 1] for n in (3, 4, 5, 7))
    for line in payload.split(b"\r"):
        fields = line.split(bar)
        for number, kind in _HL7.get(fields[0], {}).items():
            for repetition in fields[number].split(tilde) if number < len(fields) else ():
                parts = [_decode(part).strip() for part in repetition.split(caret)]
                first = [piece for piece in (parts[0].split(_decode(sub)) if sub.strip() else [parts[0]]) if piece]
                if kind == "name":
                    values.names.add((first[0] if first else "", *(part for part in parts[1:3] if part)))
                elif kind == "phone":
                    for part in [parts[0], *parts[3:4]]:
                        values.add("phone", part)
                else:
                    values.add(kind, parts[0] if kind != "address" else (first[0] if first else ""))


def _read_fhir(node: Any, values: Values) -> None:
    if isinstance(node, list):
        for child in node:
            _read_fhir(child, values)
    elif isinstance(node, dict):
        if node.get("resourceType") in {"Patient", "RelatedPerson", "Person"}:
            _person(node, values)
            for contact in _list(node.get("contact")):
                _person(contact, values)
        for child in node.values():
            _read_fhir(child, values)


def _person(node: dict[str, Any], values: Values) -> None:
    for name in _list(node.get("name")):
        values.names.add((str(name.get("family") or ""), *(str(g) for g in name.get("given") or () if g)))
    for identifier in _list(node.get("identifier")):
        values.add("number", str(identifier.get("value") or ""))
    for telecom in _list(node.get("telecom")):
        values.add("phone", str(telecom.get("value") or ""))
    for address in _list(node.get("address")):
        for line in address.get("line") or ():
            values.add("address", str(line or ""))
    values.add("date", str(node.get("birthDate") or ""))


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def _read_cda(root: Element, values: Values) -> None:
    for role in (e for e in root.iter() if e.tag.endswith(("}patientRole", "}guardian"))):
        for node in role.iter():
            tag, text = node.tag.rpartition("}")[2], "".join(node.itertext()).strip()
            if tag == "name":
                family = [c.text or "" for c in node if c.tag.endswith("}family")]
                given = [c.text or "" for c in node if c.tag.endswith("}given")]
                values.names.add((family[0] if family else "", *given))
            elif tag == "id":
                values.add("number", node.get("extension", ""))
            elif tag == "telecom":
                values.add("phone", node.get("value", "").removeprefix("tel:").removeprefix("mailto:"))
            elif tag == "streetAddressLine":
                values.add("address", text)
            elif tag == "birthTime":
                values.add("date", node.get("value", ""))


def hits(values: Values, content_type: str, payload: bytes) -> Iterator[tuple[str, str, str]]:
    """Kind, value and leaf of everything of ``values`` that stands in an output."""
    names = {word.casefold() for name in values.names for part in name for word in _NAME_PART.findall(part)}
    joined = {"".join(_WORD.findall(v)).casefold(): v for v in (*values.numbers, *values.phones) if "@" not in v}
    joined.update({"".join(c for c in v if c.isdigit())[-7:]: v for v in values.phones if "@" not in v})
    phrases = [(tuple(_WORD.findall(v.casefold())), v) for v in (*values.lines, *(p for p in values.phones if "@" in p))]
    for leaf in leaves(content_type, payload):
        plain = unicodedata.normalize("NFKC", leaf).casefold()
        words = _WORD.findall(plain)
        for word in names.intersection(words):
            yield "name", word, leaf
        runs = {"".join(c for c in run if c.isdigit()) for run in _RUN.findall(plain)}
        for key in joined.keys() & ({*words, *runs, *(run[-7:] for run in runs)}):
            yield "number", joined[key], leaf
        for date in values.dates & {w[:8] for w in (*words, *runs) if w.isdigit()}:
            yield "date", date, leaf
        for phrase, value in phrases:
            if phrase and any(tuple(words[n : n + len(phrase)]) == phrase for n, w in enumerate(words) if w == phrase[0]):
                yield "phrase", value, leaf


@cache
def ordinary_words(root: Path) -> frozenset[str]:
    """Words that clinical notes of other people write in lower case: ``white`` stands in "White - British", whoever is called White."""
    return frozenset(
        word
        for path in sorted(root.glob("dialog_*/**/*"))
        if path.suffix in {".csv", ".json", ".txt"}
        for word in re.findall(r"\b[a-z]{3,}\b", path.read_text(encoding="utf-8", errors="replace"))
    )


def leaves(content_type: str, payload: bytes) -> set[str]:
    """Every value, and what stands in it as base64."""
    text = _decode(payload)
    found: set[str] = set()
    if content_type == HL7_V2:
        found.update(re.split(r"[\r\n]|" + "|".join(re.escape(c) for c in {text[3], *text[4:6], text[7]} if c.strip()), text))
        found.update(re.sub(r"\\[A-Za-z0-9]{1,8}\\", " ", leaf) for leaf in list(found))
    elif content_type == "text/plain":
        found.add(text)
    else:
        _walk(json.loads(text), found)
    for leaf in list(found):
        for match in _BASE64.findall(leaf):
            try:
                found.add(base64.b64decode(match + "=" * (-len(match) % 4)).decode("utf-8"))
            except (binascii.Error, UnicodeDecodeError):
                continue
        if "&" in leaf or "<" in leaf:
            found.add(html.unescape(re.sub(r"<[^>]*>", " ", leaf)))
    return found


def _walk(node: Any, found: set[str]) -> None:
    if isinstance(node, dict):
        for key, child in node.items():
            found.add(key)
            _walk(child, found)
    elif isinstance(node, list):
        for child in node:
            _walk(child, found)
    elif node is not None and not isinstance(node, bool):
        found.add(str(node))
