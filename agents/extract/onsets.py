"""Since when: the words that place a problem or finding in time ("for 3 days", "since 2019"), and how long ago that is.

Only words that stand right at the mention, or at a list that it belongs to, count: a time behind a drug is the drug's. What is denied,
hypothetical or another's has none.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from agents.extract.periods import iso_duration
from agents.extract.runs import MARK, between
from schemas.findings import Mention, Onset

#: A time farther from its mention than this many characters is not looked at; nor more mentions before it than this.
_REACH = 60
_MOST = 8
UNIT = r"(?:min(?:ute)?s?|h(?:ou)?rs?|days?|w(?:ee)?ks?|months?|mos?|y(?:ea)?rs?)"
COUNT = r"(?:(?<![\d.,/-])\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fourteen|several|many|a\sfew|few|a\scouple\sof)"
_SOME = r"(?:(?:about|approximately|almost|nearly|over|at\sleast|more\sthan|the|past|last|previous|preceding)\s){0,4}"
_PERIOD = rf"(?:{COUNT}[\s-]{UNIT})"
_YEAR = r"(?:19|20)\d\d"
_DAY = r"(?:yesterday|today|this\smorning|tonight|last\s(?:night|evening|week|month|year|winter|spring|summer|fall))"
_EVENT = r"(?:admission|arrival|presentation|surgery|discharge|birth|childhood|infancy|adolescence|delivery)"
_TIME = re.compile(
    rf"""\b(?: (?:for|over|during|in|x|times|within)\s?{_SOME}{_PERIOD}(?!\s(?:ago|prior|earlier))
          | (?:for|over|during)\sthe\s(?:last|past|previous)\s(?:day|week|month|year)\b
          | {_SOME}{_PERIOD}\s(?:ago|earlier|(?:prior\sto|before)\s{_EVENT}|prior\b)(?:\sto\s{_EVENT})?
          | since\s(?:{_DAY}|{_YEAR}\b|(?:the\s|his\s|her\s)?(?:{_EVENT}|age\s(?:of\s)?\d{{1,2}})\b)
          | {_DAY} | on\s(?:admission|arrival|presentation)\b | in\s{_YEAR}\b | at\s(?:the\s)?age\s(?:of\s)?\d{{1,2}}\b
          | (?:of|for)\s{_SOME}{_PERIOD}(?:'s?)?\sduration
          | {_PERIOD}\s(?:history|hx|h/o|duration)(?:\sof)? )""",
    re.IGNORECASE | re.VERBOSE,
)
_SAID = (
    r"(?:that|which|has|have|had|been|was|were|is|are|present|ongoing|persist\w*|worsening|started|began|begun|starting|beginning|diagnosed|noted"
    r"|noticed|found|onset|first|occurred|occurring|lasting|developed|appeared|and|or|with|intermittent(?:ly)?)\b"
)
_BEHIND = re.compile(rf"[\s,(]*(?:(?:{_SAID}|{MARK})[\s,(]*){{0,8}}", re.IGNORECASE)
_HISTORY = re.compile(r"(?!of\b|for\b).*\b(?:history|hx|h/o|duration)(?:\sof)?", re.IGNORECASE | re.DOTALL)
#: Up to two adjectives before each member of the list; a verb or "with" begins another statement.
_ADJECTIVE = r"(?:(?!(?:with|who|is|was|were|had|has|have|for|after|on|in)\b|(?:present|admit|develop|complain|diagnos|treat|report)\w*)[a-z-]+\s)"
_AFTER_HISTORY = re.compile(
    rf"\s(?:of\s)?(?:{_ADJECTIVE}{{0,3}}{MARK}[\s,]*(?:(?:and|or)\s)?){{0,{_MOST}}}{_ADJECTIVE}{{0,3}}", re.IGNORECASE
)
_IN_FRONT = re.compile(
    rf"""\s{{0,8}},?\s{{0,8}}(?:(?:he|she|they|the|patient|pt|his|her|has|have|had|been|noticed|noted|reports?|reported|developed|experienced|experiencing
        |complain(?:s|ed)?|of|with|began|to|feel|an?|some|{MARK}|,|and)\s{{0,8}}){{1,8}}""",
    re.IGNORECASE | re.VERBOSE,
)
_AGE = re.compile(r"\bage\s(?:of\s)?(\d{1,2})\b", re.IGNORECASE)
_LAST = re.compile(r"\b(?:for|over|during)\sthe\s(?:last|past|previous)\s(day|week|month|year)$", re.IGNORECASE)
_LENGTH = re.compile(rf"{COUNT}[\s-]{UNIT}", re.IGNORECASE)


def onsets(text: str, sentence: Sequence[Mention], end: int) -> dict[str, Onset]:
    """Onset by mention id. ``sentence`` holds the mentions of one sentence of ``text`` in text order, which ends at ``end``."""
    heads = [m for m in sentence if m.type in ("problem", "finding")]
    if not heads:
        return {}
    found: dict[str, Onset] = {}
    begin = max(0, heads[0].start - 2 * _REACH)
    begin = max(begin, text.rfind("\n", begin, heads[0].start) + 1)
    for match in _TIME.finditer(text, begin, max(end, heads[-1].end)):
        made = _onset(match)
        low = bisect_left(heads, match.start() - _REACH, key=lambda m: m.end)
        high = bisect_right(heads, match.end() + _REACH, key=lambda m: m.start)
        for head in heads[low:high]:
            assertion = head.assertion
            if head.id in found or assertion.negated or assertion.hypothetical or assertion.family:
                continue
            if _belongs(text, sentence, head, match):
                found[head.id] = made
    return found


def _belongs(text: str, sentence: Sequence[Mention], head: Mention, time: re.Match[str]) -> bool:
    if head.end <= time.start():
        if time.start() - head.end > _REACH or _HISTORY.fullmatch(time.group()):
            return False
        gap = between(text, head.end, time.start(), sentence)
        return gap.count(MARK) <= _MOST and _no_drug(sentence, head.end, time.start()) and _BEHIND.fullmatch(gap) is not None
    if head.start < time.end() or head.start - time.end() > _REACH:
        return False
    gap = between(text, time.end(), head.start, sentence)
    if not _no_drug(sentence, time.end(), head.start):
        return False
    if _HISTORY.fullmatch(time.group()):
        return _AFTER_HISTORY.fullmatch(gap) is not None
    return sentence[0].end > time.start() and _IN_FRONT.fullmatch(gap) is not None


def _no_drug(sentence: Sequence[Mention], low: int, high: int) -> bool:
    first, last = (bisect_left(sentence, at, key=lambda m: m.start) for at in (low, high))
    return not any(m.type in ("medication", "procedure", "dosage") for m in sentence[first:last])


def _onset(match: re.Match[str]) -> Onset:
    words = " ".join(match.group().split())
    age = _AGE.search(words)
    length = _LENGTH.search(words)
    ago = iso_duration(length.group()) if length else ""
    if last := _LAST.search(words):
        ago = f"P1{last.group(1)[0].upper()}"
    if words.lower() in ("since yesterday", "yesterday"):
        ago = "P1D"
    return Onset(words=words, start=match.start(), end=match.end(), ago=ago, age=int(age.group(1)) if age else None)
