"""Since when a problem or finding is, in the note's own words: "for 3 days", "2 weeks ago", "on admission", "since last year".

What is denied has no onset. A time behind a medication or a procedure is theirs. Replaced dates are never repeated.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from agents.extract.runs import runs
from schemas.findings import Mention, MentionType

_PROBLEM: frozenset[MentionType] = frozenset({"problem", "finding"})
_ACTS: frozenset[MentionType] = frozenset({"medication", "procedure"})
#: A statement of time farther than this many characters from what it is said of is not read.
_REACH = 60
_COUNT = (
    r"(?:\d{1,3}(?:\s?(?:-|–|to|or)\s?\d{1,3})?|an?(?:\sfew|\scouple\sof)?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|several|few|many"
    r"|couple\sof)"
)
_UNIT = r"(?:minutes?|mins?|hours?|hrs?|days?|nights?|weeks?|wks?|months?|mos?|years?|yrs?)"
_PERIOD = (
    rf"(?:(?:about|approximately|almost|over|at\sleast|nearly|around|more\sthan|roughly|some|the\spast|the\slast|past|last)\s){{0,2}}"
    rf"{_COUNT}[\s-]{_UNIT}"
)
_DAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|yesterday|(?:last|this)\s(?:night|morning|evening|afternoon|week|month|year|spring|summer|fall|autumn|winter))"
_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)(?:\s(?:of\s)?\d{4})?"
_AGO = (
    rf"{_PERIOD}\s(?:ago|earlier|(?:prior|previously|before)(?:\s(?:to\s)?(?:the\s)?(?:admission|presentation|arrival|visit))?)"
)
_SINCE = (
    rf"since\s(?:about\s)?(?:{_AGO}|(?:last\s)?{_DAY}|{_MONTH}|(?:19|20)\d\d|(?:early\s)?(?:childhood|birth|infancy|adolescence)|(?:the\s)?age\s(?:of\s)?\d{{1,2}}"
    r"|(?:his|her|the|a)\s(?:\w+\s)?(?:fall|surgery|accident|operation|injury|discharge|delivery|admission))"
)
_ADMITTED = r"(?:on|upon|at)\s(?:admission|arrival|presentation)"

#: Behind what it is said of.
_BEHIND = re.compile(
    rf"\b(?:{_SINCE}|{_AGO}|for\s(?!the\snext){_PERIOD}|x\s?{_PERIOD}|x\d{{1,3}}\s{_UNIT}|over\sthe\s(?:past|last|previous)\s(?:{_COUNT}[\s-])?{_UNIT}"
    rf"|of\s{_PERIOD}(?:'s?)?(?:\sduration)?|{_ADMITTED}|{_DAY})\b",
    re.I,
)
#: Between a problem and its time: words that only say that it is there, or began.
_LINK = re.compile(
    r"""[\s,()]*(?:(?:which|that|has|have|had|been|was|were|is|are|present|ongoing|worsening|worse|persistent|intermittent(?:ly)?|on\sand\soff|off\sand\son
          |started|starting|began|begun|beginning|onset|first|noted|noticed|diagnosed|dx|found|developed|occurr(?:ed|ing)|persist(?:ed|ing|s)?|last(?:ed|ing)
          |progressi(?:ve|vely)|gradual(?:ly)?|and|now|going|about|it|all|daily|the\spatient|she|he|pain|symptoms?)\b[\s,()]*){0,6}""",
    re.I | re.X,
)
#: Before it: "3-day history of [cough]", "2 weeks of [cough]", "Two days ago she developed [cough]".
_BEFORE = re.compile(
    rf"""(?P<when>{_PERIOD}(?:'s?)?(?:\shistory)?)\sof\s(?:[\w-]+\s){{0,3}}\Z
      | (?P<then>\b(?:{_SINCE}|{_AGO}|{_ADMITTED}|{_DAY}))[,\s]+(?:(?:the\spatient|patient|pt|he|she|they|there|has|had|have|been|was|also|then|first|acutely|suddenly)\s){{0,4}}
        (?:developed|noted|noticed|began|started|experienc(?:ed|ing)|having|had|presented\swith|onset\sof|complain(?:s|ed)\sof|diagnosed\swith|found\sto\shave
         |with|has|was)\s(?:[\w-]+\s){{0,3}}\Z""",
    re.I | re.X,
)


def onsets(text: str, sentence: Sequence[Mention], bounds: tuple[int, int]) -> dict[str, str]:
    """Onset by mention id. ``sentence``: its mentions in text order; ``bounds``: its offsets."""
    acts = [m.start for m in sentence if m.type in _ACTS]
    groups = runs(text, sentence, _PROBLEM)
    found: dict[str, str] = {}
    for number, run in enumerate(groups):
        first, last = run[0], run[-1]
        following = groups[number + 1][0].start if number + 1 < len(groups) else bounds[1]
        told = _behind(text, last.end, min(following, bounds[1], last.end + _REACH), acts)
        if not told:
            low = max(bounds[0], first.start - _REACH - 30, groups[number - 1][-1].end if number else 0)
            before = _BEFORE.search(text[low : first.start])
            told = (before["when"] or before["then"]) if before else ""
        if told:
            found |= {m.id: " ".join(told.split()) for m in run if not m.assertion.negated}
    return found


def _behind(text: str, start: int, end: int, acts: Sequence[int]) -> str:
    link = _LINK.match(text, start, end)
    at = link.end() if link else start
    told = _BEHIND.match(text, at, min(len(text), end + _REACH))
    if told is None or told.start() >= end:
        return ""
    between = bisect_right(acts, told.start()) - bisect_right(acts, start)
    return "" if between else told.group()
