"""The order of events inside one sentence: before, after or during another event that it names, or a time of the stay ("until discharge").

Only what the words right between two mentions say ("fever two days after surgery", "AKI while on vancomycin"), or a clause in front of the
first ("After surgery, she developed fever"); what is said of one member of a list holds for the list. What is denied, hypothetical or another's
happened at no time. "Since when" of a single problem in dates and periods: ``onsets.py``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agents.extract.onsets import COUNT, UNIT
from agents.extract.periods import iso_duration
from agents.extract.runs import MARK, between, last_before, runs
from schemas.findings import Anchor, Mention, MentionType

Order = Literal["event-before", "event-after", "event-overlap"]

_EVENTS: frozenset[MentionType] = frozenset({"problem", "finding", "procedure", "medication", "test"})
#: Of an event itself: where it is, how much was given.
_OWN: frozenset[MentionType] = frozenset({"anatomy", "dosage", "form", "route", "frequency", "value", "duration"})
#: The clause in front of an event is looked for in this many characters before it.
_FRONT = 80
_LAG = (
    rf"(?:(?:about|approximately|only|nearly|almost|some|within|over)\s)?(?P<lag>{COUNT}[\s-]{UNIT})\s"
    r"|(?:shortly|soon|immediately|right|just|early|late|hours|days|weeks|months|years)\s"
)
_SAYS: tuple[tuple[Order, str], ...] = (
    ("event-after", r"after|following|subsequent\sto|since"),
    ("event-before", r"before|prior\sto|preceding|until|till"),
    (
        "event-overlap",
        r"during|throughout|in\sthe\scourse\sof|at\sthe\stime\sof|while\s(?:on|taking|receiving|undergoing|getting)",
    ),
)
_CONNECT = "|".join(rf"(?P<c{number}>{words})" for number, (_, words) in enumerate(_SAYS))
_DET = r"(?:(?:the|an?|his|her|their|this|that|these|which|first|second|third|initial|last|recent|successful|subsequent|repeat|each|both)\s)"
#: A word of description: no verb of another statement, no word that joins one.
_WORD = (
    r"(?:(?!(?:and|or|but|with|without|of|in|on|for|to|from|by|at|who|which|that|was|were|is|are|had|has|have|then|she|he|we|they|no|not|did|when"
    r"|patient|he's|developed|showed|revealed|underwent|started|received)\b)[a-z][a-z-]*\s)"
)
_PART = (
    r"initiation|initiating|start|commencement|completion|cessation|discontinuation|withdrawal|administration|introduction|onset|diagnosis|resolution"
    r"|use|removal|placement|insertion|implantation|transfusion|infusion|injection|ingestion|treatment\swith|therapy\swith"
    r"|(?:last|first|second|third|initial|single|\d+)?\s?(?:dose|course|cycle|session|week|day|month|hour|minute|year)s?"
)
_BEGUN = (
    rf"(?:{_DET}?(?:{_PART})\s(?:of\s)?|(?:re)?starting\s|receiving\s|taking\s|completing\s|finishing\s|stopping\s|discontinuing\s|undergoing\s|beginning\s"
    r"|having\s|being\s(?:given|put\son|started\son|treated\swith)\s|(?:he|she|they|we|the\spatient|patient|pt)\s(?:had\s|was\s)?"
    r"(?:started(?:\son)?|received|underwent|stopped|took|completed|had|put\son|given)\s)"
)
_TAIL = rf"(?:{_BEGUN})?{_DET}{{0,2}}{_WORD}{{0,2}}"
_SAID = (
    r"(?:(?:that|which|was|were|is|has|have|had|been|being|level|levels|started|starting|began|beginning|begun|occurred|occurring|developed|developing|appeared|appearing|noted|noticed"
    r"|found|seen|detected|observed|diagnosed|performed|done|obtained|given|administered|initiated|resolved|resolving|improved|improving|worsened|worsening|increased|decreased"
    r"|persisted|persisting|present|stopped|held|withheld|continued|discontinued|taken|placed|removed|repeated|therapy|treatment|only|also|again|just|rapidly|gradually)\s)"
)
_OWN_WORDS = rf"(?:(?:(?:of|in|over|at|on|to|was|with|a\sdose\sof)\s)?{_DET}?{MARK}[\s,)]{{0,4}}){{0,2}}"
#: Between an event and the one behind it; or behind it, a time of the stay.
_BEHIND = re.compile(rf"[\s)]{{0,4}}{_OWN_WORDS}(?:,\s)?{_SAID}{{0,4}}(?:{_LAG})?(?:{_CONNECT})\s{_TAIL}", re.IGNORECASE)
_MORE = rf"(?:{_WORD}|{MARK}\s){{0,3}}"
_THEN: tuple[tuple[Order, re.Pattern[str]], ...] = (
    ("event-before", re.compile(rf"[\s)]{{0,4}}{_OWN_WORDS},?\s?(?:(?:which\s)?(?:was|were|is)\s)?(?:and\s)?(?:then\s)?followed\sby\s{_DET}{{0,2}}{_MORE}", re.I)),
    ("event-before", re.compile(r"[\s)]{0,4},?\s(?:after|following)\swhich\s(?:(?:the|patient|she|he|they|there|was|were|had|a|an|developed|underwent|received|started)\s){0,5}", re.I)),
    ("event-after", re.compile(rf"[\s)]{{0,4}}{_OWN_WORDS},?\s?(?:(?:which\s)?(?:was|were|is)\s)?preceded\sby\s{_DET}{{0,2}}{_MORE}", re.I)),
)  # fmt: skip
#: A clause in front: from its beginning to the event that it names, and from there to the event of the main clause.
_CLAUSE = rf"(?:\A|[.;:\n]\s{{0,4}}|,\s(?:and\s|but\s)?|\band\s|\bbut\s)(?:{_LAG})?(?:{_CONNECT})\s"
_OPENS = re.compile(rf"{_CLAUSE}{_TAIL}\Z", re.IGNORECASE)
_MAIN = (
    r"(?:(?:the|an?|his|her|their|patient|pt|man|woman|boy|girl|child|infant|she|he|they|we|it|there|was|were|is|had|has|have|been|again|also|only|still|then|soon|new|mild"
    r"|moderate|severe|acute|sudden|progressive|persistent|recurrent|further|worsening|marked|developed|develops|experienced|noted|noticed|reported|reports|complained|presented"
    r"|suffered|of|with|from|underwent|received|required|started|on|given|found|to|diagnosed|became|showed|showing|revealed|demonstrated)\s)"
)
_OPENED = re.compile(
    rf"(?:\s(?:of|for|in|with)\s{_DET}?[a-z0-9 -]{{0,24}}|\s(?:had|was|were)\s(?:been\s)?[a-z]+|[\s)]{{0,4}}{_OWN_WORDS})?(?:,|(?=\s(?:he|she|they|there|the\spatient)\s))\s{_MAIN}{{0,7}}",
    re.IGNORECASE,
)
_PARTED = re.compile(
    r"\b(?:there|he|she|they|it|we|patient|was|were|is|are|had|has|have|then|followed|preceded)\b", re.IGNORECASE
)
_STAY = (
    r"(?P<anchor>(?:hospital\s)?(?:discharge|admission|arrival|presentation|hospitali[sz]ation|stay|course)|birth|delivery|pregnancy|surgery|the\soperation"
    r"|operation|extubation|childhood|adolescence|infancy|death)"
)
_AT_STAY = re.compile(
    rf"[\s)]{{0,4}}{_OWN_WORDS}(?:,\s)?{_SAID}{{0,4}}(?:(?:{_LAG})?(?:{_CONNECT})|(?P<at>on|at|upon))\s{_DET}?{_STAY}\b",
    re.IGNORECASE,
)
_AFTER_STAY = re.compile(rf"{_CLAUSE}{_DET}?{_STAY}\b,?\s{_MAIN}{{0,7}}\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ordered:
    """``head`` stands so to ``tail``, or to the words of ``anchor``; ``lag``: how long between the two, in ISO 8601, where the words say it."""

    order: Order
    head: Mention
    tail: Mention | None
    anchor: Anchor | None = None
    lag: str = ""


def events(text: str, sentence: Sequence[Mention], start: int, end: int) -> Iterator[Ordered]:
    """``sentence`` holds the mentions of ``text[start:end]`` in text order. Each pair once."""
    rows = _lists(text, sentence)
    told: set[tuple[str, str]] = set()
    for number, run in enumerate(rows):
        then = rows[number + 1 : number + 2]
        for one in (
            *_pairs(text, sentence, run, then),
            *_stay(text, sentence, run, start, then[0][0].start if then else end),
        ):
            name = one.head.id, one.tail.id if one.tail is not None else f"@{one.anchor.start if one.anchor else 0}"
            if name not in told and _happened(one.head) and (one.tail is None or _happened(one.tail)):
                told.add(name)
                yield one


def _happened(mention: Mention) -> bool:
    said = mention.assertion
    return not (said.negated or said.hypothetical or said.family)


def _lists(text: str, sentence: Sequence[Mention]) -> list[list[Mention]]:
    """Runs of events, cut where a verb or a person between two of them begins another statement."""
    found: list[list[Mention]] = []
    for run in runs(text, sentence, _EVENTS):
        found.append([run[0]])
        for left, right in itertools.pairwise(run):
            if _PARTED.search(text, left.end, right.start):
                found.append([])
            found[-1].append(right)
    return found


def _pairs(
    text: str, sentence: Sequence[Mention], run: Sequence[Mention], then: Sequence[Sequence[Mention]]
) -> Iterator[Ordered]:
    """The run with the one behind it."""
    for behind in then:
        left, right = run[-1].end, behind[0].start
        if right < left:
            continue
        gap = between(text, left, right, sentence, _OWN)
        if found := _BEHIND.fullmatch(gap):
            yield from (Ordered(_order(found), head, tail, lag=_lag(found)) for head in run for tail in behind)
        for order, pattern in _THEN:
            if pattern.fullmatch(gap):
                yield from (Ordered(order, head, tail) for head in run for tail in behind)
        if _OPENED.fullmatch(gap):
            before = last_before(sentence, run[0].start)
            low = max(run[0].start - _FRONT, before.end if before else 0, _line(text, run[0].start))
            if opened := _OPENS.search(text[low : run[0].start]):
                yield from (Ordered(_order(opened), head, tail, lag=_lag(opened)) for head in behind for tail in run)


def _stay(text: str, sentence: Sequence[Mention], run: Sequence[Mention], start: int, after: int) -> Iterator[Ordered]:
    """Words of the stay that are no mention: behind the run, before ``after``, or a clause in front of it."""
    gap = between(text, run[-1].end, max(after, run[-1].end), sentence, _OWN)
    if found := _AT_STAY.match(gap):
        order: Order = "event-overlap" if found["at"] else _order(found)
        at = text.find(found["anchor"], run[-1].end, after)
        if at >= 0:
            yield from (Ordered(order, head, None, _anchor(found["anchor"], at), _lag(found)) for head in run)
    before = last_before(sentence, run[0].start)
    low = max(start, run[0].start - _FRONT, before.end if before else 0, _line(text, run[0].start))
    if found := _AFTER_STAY.search(text[low : run[0].start]):
        at = low + found.start("anchor")
        yield from (Ordered(_order(found), head, None, _anchor(found["anchor"], at), _lag(found)) for head in run)


def _line(text: str, at: int) -> int:
    """Where the line begins that ``at`` stands in."""
    return text.rfind("\n", max(0, at - _FRONT), at) + 1


def _anchor(words: str, at: int) -> Anchor:
    return Anchor(words=words, start=at, end=at + len(words))


def _order(found: re.Match[str]) -> Order:
    return next(order for number, (order, _) in enumerate(_SAYS) if found[f"c{number}"])


def _lag(found: re.Match[str]) -> str:
    return iso_duration(found["lag"]) if found["lag"] else ""
