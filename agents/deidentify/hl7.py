"""HL7 v2, field by field: default deny by datatype, overrides by field, one walk over the message in place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.deidentify.policy import Policy
from agents.deidentify.pseudonyms import Tokens
from agents.deidentify.text.known import Known
from agents.deidentify.text.scrub import Scrubber
from agents.deidentify.when import OLDEST, age_years, minutes, year
from schemas.clinical import Note
from schemas.hl7 import tables
from schemas.hl7.er7 import Message, Segment
from schemas.hl7.er7 import escape as escape_text

_NUMBER_ONLY = re.compile(r"[\d.]{1,12}")
_STATE = re.compile(r"[A-Za-z .]{2,20}")
#: Shorter values identify nobody.
_SHORTEST = 4
_COUNTRY = re.compile(r"[A-Za-z]{2,3}")
#: CE/CWE components that are codes and systems; 2, 5 and 9 are text.
_TEXT_COMPONENTS = frozenset({2, 5, 9, 11, 12})
_PATH_FIELD = re.compile(r"(.+?-\d+)(?:\[\d+\])?(?:\.\d+)*")
Method = Callable[["_Walk", Segment, int, str], str]


@dataclass(slots=True)
class Outcome:
    """``times`` of the clean message by path; counts of what was redacted and dropped by path without ordinals."""

    times: dict[str, int] = field(default_factory=dict)
    redacted: Counter[str] = field(default_factory=Counter)
    received: int | None = None
    age_years: int | None = None


def deidentify(
    message: Message, policy: Policy, scrubber: Scrubber, known: Known, pseudonyms: Tokens, notes: tuple[Note, ...]
) -> Outcome:
    """Edit ``message`` in place. Leaves that belong to ``notes`` are emptied: the caller writes their clean text back."""
    outcome = Outcome()
    walk = _Walk(message, policy, scrubber, known, pseudonyms, outcome, _covered(notes))
    walk.run()
    return outcome


def _covered(notes: tuple[Note, ...]) -> frozenset[str]:
    return frozenset(match[1] for note in notes for part in note.parts if (match := _PATH_FIELD.fullmatch(part.path)))


class _Walk:
    def __init__(
        self,
        message: Message,
        policy: Policy,
        scrubber: Scrubber,
        known: Known,
        pseudonyms: Tokens,
        outcome: Outcome,
        covered: frozenset[str],
    ) -> None:
        self.message, self.policy, self.scrubber, self.known = message, policy, scrubber, known
        self.pseudonyms, self.outcome, self.covered = pseudonyms, outcome, covered
        self.path = ""
        header_time = message.header.get(7)
        birth = patient.get(7) if (patient := message.first("PID")) else ""
        age = age_years(birth, header_time) if birth and header_time else None
        self.too_old = age is not None and age > OLDEST
        outcome.age_years = None if age is None else min(age, OLDEST + 1)
        made = minutes(header_time)
        outcome.received = None if made is None else made - pseudonyms.epoch

    def run(self) -> None:
        kept: list[Segment] = []
        for path, segment in self.message.walk():
            self.path = path
            if not tables.is_segment(segment.id) or segment.id.startswith("Z"):
                self.outcome.redacted["Z??" if segment.id.startswith("Z") else "???"] += 1
                continue
            self._segment(segment)
            kept.append(segment)
        self.outcome.redacted["???"] += sum(1 for s in self.message.segments if not s.id and s.text.strip())
        if not self.outcome.redacted["???"]:
            del self.outcome.redacted["???"]
        self.message.segments[:] = kept

    def _segment(self, segment: Segment) -> None:
        name, kinds = segment.id, tables.field_types(segment.id)
        for position in range(3 if name in {"MSH", "BHS", "FHS"} else 1, len(segment) + 1):
            raw = segment.raw(position)
            if not raw:
                continue
            method = self.policy.fields.get((name, position))
            if method is None:
                kind = kinds[position - 1] if position <= len(kinds) else None
                new = self._by_type(segment, position, raw, kind)
            else:
                new = METHODS[method](self, segment, position, raw)
            if new != raw:
                segment.set_raw(position, new)
                if not new.strip("~^&"):
                    self.outcome.redacted[f"{name}-{position}"] += 1

    def _by_type(self, segment: Segment, position: int, raw: str, kind: str | None) -> str:
        if kind is None:
            return ""
        method = self.policy.datatypes.get(kind)
        if method is not None:
            return METHODS[method](self, segment, position, raw)
        parts = tables.component_types(kind)
        if not parts:
            return ""
        return self._each(segment, raw, lambda text: self._composite(segment, position, text, parts))

    def _composite(self, segment: Segment, position: int, repetition: str, kinds: tuple[str | None, ...]) -> str:
        """A datatype without a rule of its own goes by the datatypes of its components."""
        components = segment.components(repetition)
        cleaned = []
        for number, text in enumerate(components):
            kind = kinds[number] if number < len(kinds) else None
            cleaned.append(self._component(segment, text, self.policy.datatypes.get(kind or "", "redact")))
        return self.message.delimiters.component.join(cleaned).rstrip(self.message.delimiters.component or " ")

    def _component(self, segment: Segment, text: str, method: str) -> str:
        if not text or method == "keep":
            return self.keep(segment, 0, text)
        if method == "year":
            return year(segment.leaf(text))
        return self._text(segment, text) if method in {"scrub", "coded"} else ""

    def _each(self, segment: Segment, raw: str, change: Callable[[str], str]) -> str:
        separator = self.message.delimiters.repetition
        pieces = raw.split(separator) if separator else [raw]
        return separator.join(change(piece) if piece else piece for piece in pieces)

    # --- methods: (segment, position, raw field) -> raw field ---------------------------------------------------------

    def keep(self, segment: Segment, position: int, raw: str) -> str:
        """Unless it holds something that the message says of a person: senders put numbers and names into code fields."""
        return "" if self._says_somebody(segment, raw) else raw

    def _says_somebody(self, segment: Segment, raw: str) -> bool:
        return len(raw) >= _SHORTEST and next(self.known.find(segment.leaf(raw)), None) is not None

    def redact(self, segment: Segment, position: int, raw: str) -> str:
        return ""

    def keep_first(self, segment: Segment, position: int, raw: str) -> str:
        return self.keep(segment, position, segment.components(raw)[0])

    def number_only(self, segment: Segment, position: int, raw: str) -> str:
        return raw if _NUMBER_ONLY.fullmatch(raw) else ""

    def token(self, segment: Segment, position: int, raw: str) -> str:
        return self.pseudonyms.of(segment.leaf(raw))

    def year(self, segment: Segment, position: int, raw: str) -> str:
        leaf = segment.get(position)
        at = minutes(leaf)
        if at is not None:
            self.outcome.times[f"{self.path}-{position}"] = at - self.pseudonyms.epoch
        return self._each(segment, raw, lambda text: year(segment.leaf(segment.components(text)[0])))

    def birth_year(self, segment: Segment, position: int, raw: str) -> str:
        return "" if self.too_old else year(segment.get(position))

    def scrub(self, segment: Segment, position: int, raw: str) -> str:
        if f"{self.path}-{position}" in self.covered:
            return self._each(segment, raw, lambda _: "")
        return self._each(segment, raw, lambda text: self._text(segment, text))

    def _text(self, segment: Segment, raw: str) -> str:
        leaf = segment.leaf(raw)
        clean = self.scrubber.short(leaf, self.known)
        return raw if clean == leaf else escape_text(clean, self.message.delimiters)

    def coded(self, segment: Segment, position: int, raw: str) -> str:
        separator = self.message.delimiters.component

        def one(text: str) -> str:
            parts = segment.components(text)
            return separator.join(
                self._text(segment, part)
                if part and (number in _TEXT_COMPONENTS or not _is_code(part))
                else self.keep(segment, position, part)
                for number, part in enumerate(parts, 1)
            )

        return self._each(segment, raw, one)

    def cx(self, segment: Segment, position: int, raw: str) -> str:
        """Number to token, check digit and authorities out, identifier type (table 0203) stays."""

        def one(text: str) -> str:
            parts = [segment.leaf(part) for part in segment.components(text)]
            number = self.pseudonyms.of(
                parts[0], segment.leaf(segment.components(text)[3].split("&")[0]) if len(parts) > 3 else ""
            )
            kind = parts[4] if len(parts) > 4 and parts[4].isalnum() and len(parts[4]) <= 5 else ""
            return self._joined(number, "", "", "", kind) if number else ""

        return self._each(segment, raw, one)

    def ei(self, segment: Segment, position: int, raw: str) -> str:
        def one(text: str) -> str:
            parts = segment.components(text)
            return self.pseudonyms.of(segment.leaf(parts[0]), segment.leaf(parts[1]) if len(parts) > 1 else "")

        return self._each(segment, raw, one)

    def eip(self, segment: Segment, position: int, raw: str) -> str:
        def one(text: str) -> str:
            numbers = []
            for part in segment.components(text)[:2]:
                pair = [segment.leaf(leaf) for leaf in segment.subcomponents(part)]
                numbers.append(self.pseudonyms.of(pair[0], pair[1] if len(pair) > 1 else "") if pair[0] else "")
            return self._joined(*numbers)

        return self._each(segment, raw, one)

    def xcn(self, segment: Segment, position: int, raw: str) -> str:
        def one(text: str) -> str:
            leaf = segment.leaf(segment.components(text)[0])
            return self.pseudonyms.of(leaf) if leaf else ""

        return self._each(segment, raw, one)

    def address(self, segment: Segment, position: int, raw: str) -> str:
        """State and country stay, the ZIP code is cut to three digits."""

        def one(text: str) -> str:
            parts = [segment.leaf(part) for part in segment.components(text)]
            parts += [""] * (6 - len(parts))
            state = parts[3] if _STATE.fullmatch(parts[3]) else ""
            country = parts[5] if _COUNTRY.fullmatch(parts[5]) else ""
            return self._joined("", "", "", state, self.policy.zip3(parts[4]), country)

        return self._each(segment, raw, one)

    def by_obx2(self, segment: Segment, position: int, raw: str) -> str:
        kind = segment.get(2)
        if f"{self.path}-{position}" in self.covered and kind == "ED":
            return ""
        method = self.policy.obx2.get(kind, "redact")
        new = METHODS[method](self, segment, position, raw)
        if segment.get(3) in self.policy.age_codes:
            return self._each(segment, new, lambda text: "90" if text.isdigit() and int(text) > OLDEST else text)
        return new

    def _joined(self, *parts: str) -> str:
        separator = self.message.delimiters.component
        return separator.join(parts).rstrip(separator or " ")


def _is_code(part: str) -> bool:
    """Short and without a blank: what a code looks like. Anything longer is treated as text."""
    return len(part) <= 20 and " " not in part


METHODS: dict[str, Method] = {
    "keep": _Walk.keep,
    "redact": _Walk.redact,
    "keep_first": _Walk.keep_first,
    "number_only": _Walk.number_only,
    "token": _Walk.token,
    "year": _Walk.year,
    "birth_year": _Walk.birth_year,
    "scrub": _Walk.scrub,
    "coded": _Walk.coded,
    "cx": _Walk.cx,
    "ei": _Walk.ei,
    "eip": _Walk.eip,
    "xcn": _Walk.xcn,
    "address": _Walk.address,
    "by_obx2": _Walk.by_obx2,
}
