"""An HL7 v2 message without identifiers: default-deny by datatype over every field, still valid ER7.

Unknown segments and Z segments are dropped, fields that the standard does not know are emptied, repetitions keep their places. What
was taken out is counted by path; times go into the map as minutes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.deidentify import clock
from agents.deidentify.hl7_rules import Components, Hl7Rules, Leaf, Plan, Row, Typed, leaf
from agents.deidentify.notes import Guesses, Scrubbed
from agents.deidentify.replacements import CITY, ZIP, Replacements, mask
from agents.deidentify.requests import TokenRequests, date_mark
from agents.deidentify.text.known import Known, words_of
from agents.deidentify.text.scrub import NOBODY, find, find_coded, replace
from agents.deidentify.text.spans import NAME
from agents.deidentify.zip_codes import state, zip3
from agents.vault.contract import Kind
from schemas.clinical import Note
from schemas.deidentified import Redaction
from schemas.errors import MalformedMessage, Reason
from schemas.hl7.er7 import Delimiters, Message, Segment, escape

#: Fields whose time a fact may be read from; only these travel in the map.
_TIMED = frozenset({
    ("MSH", 7), ("OBX", 14), ("OBR", 7), ("OBR", 22), ("DG1", 5), ("PRB", 2), ("PRB", 7), ("PRB", 16), ("AL1", 6), ("IAM", 11),
    ("IAM", 13), ("IAM", 20), ("PR1", 5), ("RXE", 32), ("RXD", 3), ("RXA", 3), ("ORC", 9), ("ORC", 15),
})  # fmt: skip

_CODE = re.compile(r"[A-Za-z0-9_.+\-/%#*:=<>\[\]()]{1,40}")
_SMALL = re.compile(r"[+-]?\d{0,3}\.?\d{1,3}")
_YOUNG = re.compile(r"[+-]?(?:[0-8]?\d(?:\.\d*)?|\.\d+)")
_NUMBER = re.compile(r"(?:[<>]=?|=)?\s{0,2}[+-]?\d{0,18}(?:\.\d{0,12})?")
_COMPARATOR = re.compile(r"[<>=]{1,2}|<>|[-:/.+]")
_COUNTRY = re.compile(r"[A-Za-z]{2,3}")
_MONTH = re.compile(r"\d{4}(?:0[1-9]|1[0-2])")
_WORDS = re.compile(r"[^\W\d_]{2,}")
_TEXT_KINDS = frozenset({"ST", "TX", "FT", "", "IS"})
_CODED_KINDS = frozenset({"CE", "CWE", "CNE", "CF"})


@dataclass(slots=True)
class Hl7Result:
    """``fills``: fields that hold marks of tokens; ``times``: path -> minutes since 1970."""

    redacted: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    fills: list[tuple[Segment, int]] = field(default_factory=list)


def short_texts(message: Message, notes: list[Note]) -> list[str]:
    """Short results that may name somebody: the model reads them too."""
    noted = {part.path for note in notes for part in note.parts}
    found: list[str] = []
    for number, segment in enumerate(message.all("OBX"), 1):
        kind = segment.get(2)
        coded = kind in _CODED_KINDS
        if not coded and kind not in _TEXT_KINDS:
            continue
        for repetition, raw in enumerate(segment.repetitions(5), 1):
            where = f"OBX[{number}]-5" if repetition == 1 else f"OBX[{number}]-5[{repetition}]"
            pieces = [(f"{where}.{n}", text) for n, text in enumerate(segment.components(raw), 1)] if coded else [(where, raw)]
            found += [
                text
                for path, piece in pieces
                if path not in noted and len(_WORDS.findall(text := segment.leaf(piece))) > 1 and not text.islower()
            ]
    return found


@dataclass(frozen=True, slots=True)
class Constant:
    """What becomes of the coded fields of a segment in a message that knows none of ``words``; ``None``: only a look tells."""

    changed: tuple[tuple[int, str], ...]
    words: frozenset[str] | None


#: By delimiters, then by segment and what its coded fields hold.
Constants = dict[Delimiters, dict[tuple[str, tuple[str, ...]], Constant]]
_FORMS, _REMEMBERED, _SHORT = 16, 20_000, 400


class Hl7Rewriter:
    """Made from a policy once; ``rewrite`` may run in several threads."""

    def __init__(self, rules: Hl7Rules, ages: frozenset[str], replacements: Replacements) -> None:
        self._rules = rules
        self._ages = ages
        self._replacements = replacements
        self._constants: Constants = {}

    def rewrite(
        self, message: Message, scrubbed: Scrubbed, requests: TokenRequests, known: Known, guesses: Guesses, oldest_year: int
    ) -> Hl7Result:
        """Change ``message`` in place; its notes are clean already (``scrubbed``), everything else is done here."""
        constants = self._constants.get(message.delimiters)
        if constants is None:
            if len(self._constants) >= _FORMS:
                self._constants.clear()
            constants = self._constants[message.delimiters] = {}
        work = _Pass(message, scrubbed, requests, known, guesses, oldest_year, self._ages, constants, self._replacements)
        result = work.result
        kept: list[Segment] = []
        seen: Counter[str] = Counter()
        for segment in message.segments:
            name = segment.id
            plan = self._rules.plan(name) if name and not name.startswith("Z") else None
            if plan is None:
                if segment.text.strip():
                    result.redacted[name if name.startswith("Z") else "???"] += 1
                    continue
                kept.append(segment)
                continue
            seen[name] += 1
            work.segment(segment, plan, name if name == "MSH" else f"{name}[{seen[name]}]")
            kept.append(segment)
        if kept and len(kept) != len(message.segments):
            kept[-1].end = kept[-1].end or "\r"
            message.segments[:] = kept
        return result


class _Pass:
    """The work on one message. ``_path``, ``_field`` and so on say where it stands, for the map."""

    def __init__(
        self,
        message: Message,
        scrubbed: Scrubbed,
        requests: TokenRequests,
        known: Known,
        guesses: Guesses,
        oldest_year: int,
        ages: frozenset[str],
        constants: dict[tuple[str, tuple[str, ...]], Constant],
        replacements: Replacements,
    ) -> None:
        self._replacements = replacements
        self._constants = constants
        self.result = Hl7Result()
        self._message = message
        self._delimiters = message.delimiters
        self._scrubbed = scrubbed
        self._has_notes = bool(scrubbed.handled)
        self._requests = requests
        self._known = known
        self._guesses = guesses
        self._oldest_year = oldest_year
        self._ages = ages
        self._fields: dict[tuple[str, str], tuple[str, bool]] = {}
        self._memo: dict[tuple[str, str], str] = {}
        self._clean: set[str] = set()
        #: Time as written -> its year, or nothing, and its minute.
        self._years: dict[str, tuple[str, int | None]] = {}
        self._segment: Segment = message.header
        self._path = ""
        self._field = 0
        self._marked = False

    def segment(self, segment: Segment, plan: Plan, path: str) -> None:
        self._segment, self._path = segment, path
        name, fields = segment.id, segment.fields()
        count = len(fields)
        for position in range(len(plan.rows) + 1, count):
            if fields[position]:
                segment.set_raw(position, "")
                self.result.redacted[f"{name}-{position}"] += 1
        raws = segment.raws(plan.constants)
        seen = self._constants.get((name, raws)) or self._remember_constants(segment, plan, raws)
        if seen.words is not None and self._known.keys.isdisjoint(seen.words):
            for position, new in seen.changed:
                segment.set_raw(position, new)
                self.result.redacted[plan.rows[position - 1].label] += 1
        else:
            for position, raw in zip(plan.constants, raws, strict=True):
                if raw:
                    self._one(segment, position, plan.rows[position - 1], raw)
        clean = self._clean
        for position, row in plan.others:
            if position >= count:
                break
            raw = fields[position]
            if not raw or (row.digits_stay and len(raw) < 5 and raw.isdigit()) or (row.rule is _SCRUB and raw in clean):
                continue
            self._one(segment, position, row, raw)

    def _one(self, segment: Segment, position: int, row: Row, raw: str) -> None:
        if row.digits_stay and len(raw) < 5 and (raw.isdigit() or _SMALL.fullmatch(raw)):
            return
        rule, self._field, self._marked = row.rule, position, False
        if row.repeatable:
            done = self._fields.get((row.label, raw))
            if done is None:
                new = self._repetitions(raw, rule, self._has_notes and not row.constant)  # type: ignore[arg-type]
                self._fields[row.label, raw] = (new, self._marked)
            else:
                new, self._marked = done
        elif rule is _YEAR and self._delimiters.repetition not in raw:
            new = self._year(_first(raw, self._delimiters.component, self._delimiters.subcomponent))
        elif isinstance(rule, Typed):
            new = self._typed(segment, position, raw, rule, self._has_notes)
        else:
            new = "" if rule is None else self._repetitions(raw, rule, self._has_notes)
        if new != raw:
            try:
                segment.set_raw(position, new)
            except ValueError:  # damaged escapes can put a separator into the new text; nothing of such a message passes
                raise MalformedMessage(Reason.MALFORMED_HL7, path=f"{segment.id}-{position}") from None
            self.result.redacted[row.label] += 1
            if self._marked:
                self.result.fills.append((segment, position))

    def _remember_constants(self, segment: Segment, plan: Plan, raws: tuple[str, ...]) -> Constant:
        """Fields of codes: feeds repeat them all day, so what became of them without knowing anybody is remembered by the process."""
        known, self._known, memo, self._memo = self._known, NOBODY, self._memo, {}
        changed: list[tuple[int, str]] = []
        words: set[str] | None = set()
        for position, raw in zip(plan.constants, raws, strict=True):
            row = plan.rows[position - 1]
            if not raw or (row.digits_stay and len(raw) < 5 and (raw.isdigit() or _SMALL.fullmatch(raw))):
                continue
            new, own = self._repetitions(raw, row.rule, False), words_of(segment.leaf(raw))  # type: ignore[arg-type]
            words = None if words is None or own is None else words | own
            if new != raw:
                changed.append((position, new))
        self._known, self._memo = known, memo
        found = Constant(tuple(changed), None if words is None else frozenset(words))
        if sum(map(len, raws)) <= _SHORT:
            if len(self._constants) >= _REMEMBERED:
                self._constants.clear()
            self._constants[segment.id, raws] = found
        return found

    def _typed(self, segment: Segment, position: int, raw: str, rule: Typed, has_notes: bool) -> str:
        """OBX-5: the value under the type that OBX-2 gives it."""
        kind = segment.get(rule.field)
        chosen = rule.cases.get(kind, rule.default)
        small = chosen is _NUMERIC and len(raw) < 5 and _SMALL.fullmatch(raw) is not None
        if small and (kind != "NM" or _YOUNG.fullmatch(raw)):
            return raw  # whatever is observed: no age over 89
        if kind in ("ED", "RP"):
            return self._attachments(segment, position)
        if kind == "NM" and segment.get(3) in self._ages:
            chosen = _AGE
        elif small:
            return raw
        return "" if chosen is None else self._repetitions(raw, chosen, has_notes)

    def _repetitions(self, raw: str, rule: Leaf | Components, has_notes: bool) -> str:
        separator = self._delimiters.repetition
        if not separator or separator not in raw:
            return self._repetition(raw, rule, 1, has_notes)
        return separator.join(
            self._repetition(text, rule, number, has_notes) if text else "" for number, text in enumerate(raw.split(separator), 1)
        )

    def _repetition(self, raw: str, rule: Leaf | Components, number: int, has_notes: bool) -> str:
        if isinstance(rule, Leaf):
            if rule.method == "scrub":
                path = self._leaf_path(number)
                return raw if has_notes and path in self._scrubbed.handled else self._scrub(raw, path)
            leaf = _first(raw, self._delimiters.component, self._delimiters.subcomponent)
            return "" if rule.method == "code" and _is_bare_number(leaf) else self._leaf(leaf, rule.method)
        separator = self._delimiters.component
        if not separator:
            first = rule.rules[0]
            return self._leaf(raw, first.method) if isinstance(first, Leaf) else ""
        if rule.rules[0] is _TERM and separator not in raw and _is_bare_number(raw):
            return ""
        out: list[str] = []
        for n, (text, part) in enumerate(zip(raw.split(separator), rule.rules, strict=False), 1):
            out.append(self._component(text, part, number, n, has_notes) if text and part is not None else "")
        while out and not out[-1]:
            out.pop()
        return separator.join(out)

    def _component(self, raw: str, rule: Leaf | Components, number: int, n: int, has_notes: bool) -> str:
        separator = self._delimiters.subcomponent
        if isinstance(rule, Components):
            pieces = raw.split(separator) if separator else [raw]
            if rule.rules[0] is _TERM and len(pieces) == 1 and _is_bare_number(raw):
                return ""
            new = [
                self._leaf(text, part.method) if text and isinstance(part, Leaf) else ""
                for text, part in zip(pieces, rule.rules, strict=False)
            ]
            return separator.join(new).rstrip(separator) if separator else "".join(new)
        if rule.method not in ("scrub", "display"):
            return self._leaf(raw.split(separator, 1)[0] if separator and separator in raw else raw, rule.method)
        path = f"{self._leaf_path(number)}.{n}"
        handled = has_notes and path in self._scrubbed.handled
        first, *rest = raw.split(separator) if separator else [raw]
        if not handled:
            first = self._scrub(first, path) if rule.method == "scrub" else self._display(first)
        return separator.join([first, *(self._display(text) for text in rest)]) if rest else first

    def _leaf_path(self, repetition: int) -> str:
        return f"{self._path}-{self._field}" if repetition == 1 else f"{self._path}-{self._field}[{repetition}]"

    def _leaf(self, raw: str, method: str) -> str:
        if not raw or (raw == '""' and method in _KEEPING):
            return raw
        if method == "scrub":  # text below a component has no path of its own
            return self._display(raw)
        return _METHODS[method](self, raw)

    # the methods: raw leaf in, raw leaf out

    def _code(self, raw: str) -> str:
        return self._remember("code", raw)

    def _remember(self, method: str, raw: str) -> str:
        found = self._memo.get(key := (method, raw))
        if found is None:
            found = ("" if self._known.touches(raw) else raw) if _CODE.fullmatch(raw) else self._display(raw)
            self._memo[key] = found
        return found

    def _display(self, raw: str) -> str:
        key = ("display", raw)
        found = self._memo.get(key)
        if found is None:
            text = self._segment.leaf(raw)
            redactions = find_coded(text, self._known)
            found = escape(replace(text, redactions), self._delimiters, line_end="X0A") if redactions else raw
            self._memo[key] = found
        return found

    def _scrub(self, raw: str, path: str) -> str:
        if raw.isdigit() and len(raw) < 5:
            return raw
        text = self._segment.leaf(raw)
        redactions: tuple[Redaction, ...] = find(text, self._known, self._guesses.get(text, ()), oldest_year=self._oldest_year)
        redactions = self._replacements(text, redactions, self._oldest_year, self._requests.surrogates)
        if not redactions:
            self._clean.add(raw)
            return raw
        self._scrubbed.leaves[path] = redactions
        return escape(replace(text, redactions), self._delimiters)

    def _number(self, raw: str) -> str:
        if _NUMBER.fullmatch(raw):
            return "" if len(raw) >= 5 and self._known.touches(raw) else raw
        return self._scrub(raw, f"{self._path}-{self._field}")

    def _comparator(self, raw: str) -> str:
        return raw if _COMPARATOR.fullmatch(self._segment.leaf(raw)) else ""

    def _age(self, raw: str) -> str:
        number = re.match(r"\s*(\d{1,3})(?!\d)", raw)
        return str(clock.OLDEST_AGE + 1) if number and int(number[1]) > clock.OLDEST_AGE else self._number(raw)

    def _year(self, raw: str) -> str:
        seen = self._years.get(raw)
        if seen is None:
            year = clock.year_of(raw)
            gone = year is None or year <= self._oldest_year
            seen = self._years[raw] = ("", None) if gone else (str(year), clock.minutes_of(raw.strip()))
        year_text, minutes = seen
        if minutes is not None and (self._segment.id, self._field) in _TIMED:
            self.result.times.setdefault(f"{self._path}-{self._field}", minutes)
        return year_text

    def _shift(self, raw: str) -> str:
        """The patient's shift of the day, clock and zone as they are; of a month only the year."""
        year, found = self._year(raw), clock.day_of(raw.strip())
        return date_mark(found[0], compact=True) + found[1] if year and found else year

    def _date(self, raw: str) -> str:
        """The whole time, if it is one."""
        year = self._year(raw)
        return raw.strip() if year and (clock.day_of(raw.strip()) or _MONTH.fullmatch(raw.strip())) else year

    def _city(self, raw: str) -> str:
        return raw if CITY.fullmatch(self._segment.leaf(raw)) and not self._known.touches(raw) else ""

    def _zip5(self, raw: str) -> str:
        return raw if ZIP.fullmatch(raw.strip()) else ""

    def _encrypt(self, raw: str) -> str:
        return self._requests.encrypted(self._segment.plain(raw))

    def _surrogate(self, raw: str) -> str:
        value = self._segment.plain(raw)
        return self._requests.surrogates.mark(NAME, value) if value else ""

    def _mask(self, raw: str) -> str:
        return mask(self._segment.plain(raw))

    def _token(self, raw: str, kind: Kind = Kind.NUMBER) -> str:
        value = self._segment.plain(raw)
        if not value:
            return ""
        self._marked = True
        return self._requests.mark(kind, value)

    def _practitioner(self, raw: str) -> str:
        return self._token(raw, Kind.PRACTITIONER)

    def _organization(self, raw: str) -> str:
        return self._token(raw, Kind.ORGANIZATION)

    def _message_token(self, raw: str) -> str:
        return self._token(raw, Kind.MESSAGE)

    def _state(self, raw: str) -> str:
        return state(self._segment.plain(raw))

    def _zip3(self, raw: str) -> str:
        return zip3(self._segment.plain(raw))

    def _country(self, raw: str) -> str:
        return raw if _COUNTRY.fullmatch(raw) else ""

    def _attachments(self, segment: Segment, position: int) -> str:
        """Repetitions whose text was opened and cleaned stay, as plain text; the others are withheld."""
        out: list[str] = []
        for number, text in enumerate(segment.repetitions(position), 1):
            path = f"{self._path}-{position}" if number == 1 else f"{self._path}-{position}[{number}]"
            if f"{path}.5" in self._scrubbed.handled:
                parts = segment.components(text)
                out.append(self._delimiters.component.join(["", *parts[1:5]]))
            else:
                out.append("")
        return self._delimiters.repetition.join(out) if any(out) else ""


_KEEPING = frozenset({"code", "term", "display", "number", "comparator", "scrub"})
_AGE, _TERM, _SCRUB, _YEAR, _NUMERIC = map(leaf, ("age", "term", "scrub", "year", "number"))
_METHODS: dict[str, Callable[[_Pass, str], str]] = {
    "code": _Pass._code,
    "term": _Pass._code,
    "display": _Pass._display,
    "number": _Pass._number,
    "comparator": _Pass._comparator,
    "age": _Pass._age,
    "year": _Pass._year,
    "shift": _Pass._shift,
    "date": _Pass._date,
    "city": _Pass._city,
    "zip5": _Pass._zip5,
    "mask": _Pass._mask,
    "surrogate": _Pass._surrogate,
    "encrypt": _Pass._encrypt,
    "token": _Pass._token,
    "practitioner": _Pass._practitioner,
    "organization": _Pass._organization,
    "message_token": _Pass._message_token,
    "state": _Pass._state,
    "zip3": _Pass._zip3,
    "country": _Pass._country,
}


def _is_bare_number(raw: str) -> bool:
    """A code without text and coding system that holds five digits or more: a number that strayed into a coded field."""
    return len(raw) >= 5 and sum(map(str.isdigit, raw)) >= 5


def _first(raw: str, component: str, subcomponent: str) -> str:
    """First leaf of a repetition of a primitive type, whatever else a sender put there."""
    if component and component in raw:
        raw = raw.split(component, 1)[0]
    return raw.split(subcomponent, 1)[0] if subcomponent and subcomponent in raw else raw
