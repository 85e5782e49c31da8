"""The last look before a record leaves: does anything that this message says about people stand in the output?

Independent of how the output was made. Every decoded leaf of the output is searched for names by whole word, for numbers, phones and
mail addresses with any separators, for street lines and for the full birth date. One hit quarantines the record; the value is never told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from agents.deidentify.text.known import Known, compile_known
from agents.deidentify.text.normalise import normalise
from schemas.errors import LeakDetected
from schemas.hl7.er7 import Message
from schemas.identity import MessageIdentity
from schemas.message import Parsed

_SHORTEST_NAME = 3
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
#: Texts that this system puts in itself.
_OWN = re.compile(r"\[(?:NAME|DATE|AGE|ID|PHONE|EMAIL|URL|LOCATION|ORGANIZATION)[^\]]{0,8}\]")


class LeakCheck:
    """Compiled once a message; ``known`` is shared with the scrubber, the search is not."""

    def __init__(self, identity: MessageIdentity, known: Known | None = None) -> None:
        known = known or compile_known(identity)
        self._names = frozenset(word for word in known.words if len(word) >= _SHORTEST_NAME)
        self._patterns = known.patterns
        self._birth = _birth_forms(identity)

    def check(self, path: str, text: str) -> None:
        """Raises LeakDetected with the path, never the value."""
        if len(text) < _SHORTEST_NAME:
            return
        folded = normalise(_OWN.sub(" ", text)).text
        lowered = folded.casefold()
        if self._names and not self._names.isdisjoint(_words(lowered)):
            raise LeakDetected(path=path, detail="name")
        for kind, rule, pattern in self._patterns:
            if rule in {"city", "organization"}:
                continue  # places that are words as well; the scrubber takes them out of text, codes may hold them
            if pattern.search(folded):
                raise LeakDetected(path=path, detail=kind.lower())
        if any(form in lowered for form in self._birth):
            raise LeakDetected(path=path, detail="birth date")


def _words(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        yield match[0]
        if "-" in match[0]:
            yield from match[0].split("-")
        if match[0].endswith(("'s", "’s")):
            yield match[0][:-2]


def _birth_forms(identity: MessageIdentity) -> tuple[str, ...]:
    people = [identity.patient] if identity.patient else []
    forms: set[str] = set()
    for person in people:
        digits = "".join(character for character in person.birth_date if character.isdigit())[:8]
        if len(digits) == 8:
            year, month, day = digits[:4], digits[4:6], digits[6:]
            forms |= {digits, f"{year}-{month}-{day}", f"{month}/{day}/{year}", f"{int(month)}/{int(day)}/{year}"}
    return tuple(sorted(forms))


def check_output(identity: MessageIdentity, known: Known, parsed: Parsed) -> None:
    """Search every leaf of a finished message. Raises LeakDetected."""
    check = LeakCheck(identity, known)
    for path, text in leaves(parsed):
        check.check(path, text)


def leaves(parsed: Parsed) -> Iterable[tuple[str, str]]:
    """Every text of a message, decoded, with a path without ordinals."""
    return _fhir_leaves(parsed, str(parsed.get("resourceType"))) if isinstance(parsed, dict) else _hl7_leaves(parsed)


def _hl7_leaves(message: Message) -> Iterator[tuple[str, str]]:
    delimiters = message.delimiters
    marks = "".join(mark for mark in (delimiters.repetition, delimiters.component, delimiters.subcomponent) if mark)
    splitter = re.compile(f"[{re.escape(marks)}]") if marks else None
    for segment in message.segments:
        for position in range(3 if segment.id == "MSH" else 1, len(segment) + 1):
            raw = segment.raw(position)
            if not raw:
                continue
            path = f"{segment.id}-{position}"
            for piece in splitter.split(raw) if splitter else [raw]:
                if len(piece) >= _SHORTEST_NAME:
                    yield path, segment.leaf(piece)


def _fhir_leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in {"resourceType", "url", "system"}:
                yield from _fhir_leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _fhir_leaves(inner, path)
    elif isinstance(value, str):
        yield path, value
    elif value is not None and not isinstance(value, bool):
        yield path, str(value)
