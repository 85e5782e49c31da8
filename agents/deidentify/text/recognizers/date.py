"""Dates more specific than a year (45 CFR 164.514(b)(2)(i)(C)): digits, month names, ordinal words, holidays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from agents.deidentify.text.signs import Near, NearMatch
from agents.deidentify.text.spans import DATE, Found

RULE = "date"

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|"
    r"dec(?:ember)?)"
)
_ORDINAL = (
    r"(?:(?:twenty|thirty)[- ])?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|tenth|eleventh|twelfth|thirteenth|"
    r"fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:1[89]\d\d|20\d\d|'\d\d)"
_CLOCK = r"(?:(?:\s{0,2},?\s?(?:at\s)?|T)\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:\s?[ap]\.?m\b\.?)?(?:Z|\s?[+-]\d{2}:?\d{2})?)?"
_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thur?s?|fri|sat(?:ur)?|sun)(?:day)?"

_MONTHS = "jan january feb february mar march apr april may june jun july jul aug august sept sep september oct october nov november dec december"
#: What every date in digits begins with.
_DIGITS = r"\d[\d'/.-]{4}"

_ISO = NearMatch(re.compile(rf"(?<![\w.-]){_YEAR}([-/.]){_DAY}\1{_DAY}{_CLOCK}(?![\w])"), _DIGITS, before=2, after=60)
_NUMERIC = NearMatch(
    re.compile(rf"(?<![\w./-]){_DAY}([-/.]){_DAY}\1(?:1[89]\d\d|20\d\d|\d\d){_CLOCK}(?![\w/]|-\d|\.\d)"),
    _DIGITS,
    before=2,
    after=60,
)
_COMPACT = NearMatch(
    re.compile(r"(?<![\w.])(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[T ]?\d{4}(?:\d{2})?)?(?![\w]|\.\d)"),
    _DIGITS,
    before=2,
    after=60,
)
_MONTH_YEAR_DIGITS = NearMatch(
    re.compile(
        r"(?<![\w./-])(?:0?[1-9]|1[0-2])[/-](?:19|20)\d\d(?![\w/-])|(?<![\w./-])(?:19|20)\d\d-(?:0[1-9]|1[0-2])(?![\w/-])"
    ),
    _DIGITS,
    before=2,
    after=60,
)
_WORDED = Near(
    re.compile(
        rf"(?<![A-Za-z])(?:{_WEEKDAY}\b,?\s{{1,2}})?(?:the\s)?(?:"
        rf"{_MONTH}\.?[\s-]{{1,3}}(?:the\s)?(?:{_DAY}(?:st|nd|rd|th)?|{_ORDINAL})\b(?:\s?(?:,|of)?[\s-]{{0,3}}(?:{_YEAR}|\d\d(?=-|\s|$)))?(?!\s?(?:mg|ml|mcg|/))"
        rf"|(?:{_DAY}(?:st|nd|rd|th)?|{_ORDINAL})[\s-]{{1,3}}(?:day\s)?(?:of\s)?{_MONTH}\b\.?(?:\s?,?[\s-]{{0,3}}{_YEAR})?"
        rf"|{_MONTH}\.?\s?,?\s?(?:of\s)?{_YEAR}"
        rf"){_CLOCK}(?![A-Za-z0-9])",
        re.IGNORECASE,
    ),
    _MONTHS,
    before=48,
    after=110,
)
_MONTH_ALONE = Near(
    re.compile(
        r"\b(?:[Ii]n|[Ss]ince|[Uu]ntil|[Bb]y|[Ff]rom|[Ll]ast|[Nn]ext|[Tt]his|[Ee]arly|[Ll]ate|[Mm]id|[Ee]nd of|[Bb]eginning of|[Dd]uring|[Tt]hrough|[Bb]efore|[Aa]fter)[\s-]"
        r"(January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Aug|Sept|Oct|Nov|Dec)\b(?!\s[A-Z][a-z])"
    ),
    _MONTHS,
    before=24,
    after=40,
)
#: Month and day without a year only where a word says that it is a date: 5/5, 9/10 and 120/80 are findings.
_DAY_OF_YEAR = Near(
    re.compile(
        r"\b(?:on|since|dated?|until|till|admitted|discharged|seen|scheduled(?: for)?|due|appointment|appt|f/u|dob|born|dos|visit(?: on)?|as of|last (?:seen|visit|dose)(?: on)?)"
        r"[:\s]{1,3}((?:0?[1-9]|1[0-2])[/-](?:0?[1-9]|[12]\d|3[01]))(?![\w/-]|\s?(?:mg|%|tabs?|strength|pain))",
        re.IGNORECASE,
    ),
    "on since date dated until till admitted discharged seen scheduled due appointment appt f/u dob born dos visit as last",
    after=60,
    digit=True,
)
_HOLIDAY = Near(
    re.compile(
        r"\b(?:Christmas(?: (?:Eve|Day))?|Thanksgiving|Easter(?: Sunday)?|Halloween|New Year'?s(?: (?:Eve|Day))?|Independence Day|"
        r"(?:the )?(?:4th|[Ff]ourth) of July|Memorial Day|Labor Day|Valentine'?s Day|St\.? Patrick'?s Day|Hanukkah|Ramadan|Diwali|"
        r"Mother'?s Day|Father'?s Day|Veterans Day|Good Friday)\b(?:,?\s(?:of\s)?(?:19|20)\d\d)?"
    ),
    "christmas thanksgiving easter halloween year year's years independence july memorial labor valentine valentine's valentines patrick "
    "patrick's patricks hanukkah ramadan diwali mother's mothers father's fathers veterans friday",
    before=20,
    after=50,
)


def find(text: str) -> Iterator[Found]:
    if any(char.isdigit() for char in text):
        for pattern in (_ISO, _COMPACT, _MONTH_YEAR_DIGITS):
            for match in pattern.finditer(text):
                yield Found(match.start(), match.end(), DATE, "pattern", RULE)
        for match in _NUMERIC.finditer(text):
            if _plausible(match[0], match[1]):
                yield Found(match.start(), match.end(), DATE, "pattern", RULE)
        for match in _DAY_OF_YEAR.finditer(text):
            yield Found(match.start(1), match.end(1), DATE, "pattern", RULE, 0.8)
    for match in _WORDED.finditer(text):
        yield Found(match.start(), match.end(), DATE, "pattern", RULE)
    for match in _MONTH_ALONE.finditer(text):
        yield Found(match.start(1), match.end(1), DATE, "pattern", RULE, 0.8)
    for match in _HOLIDAY.finditer(text):
        yield Found(match.start(), match.end(), DATE, "pattern", RULE)


def _plausible(written: str, separator: str) -> bool:
    """One of the first two numbers is a month; ``3.5.10`` is a version or a list, not a date."""
    first, second, rest = written.split(separator, 2)
    year = re.match(r"\d+", rest)
    if year is None or (int(first) > 12 and int(second) > 12):
        return False
    return separator != "." or len(year[0]) == 4 or (len(first) == 2 and len(second) == 2)


_FOUR_DIGITS = re.compile(r"(?<!\d)(?:1[89]\d\d|20\d\d)")


def year_of(written: str) -> int | None:
    """The year, where the date writes it with four digits."""
    match = _FOUR_DIGITS.search(written)
    return int(match[0]) if match else None


_MONTH_NUMBERS = {
    name: number
    for number, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_DAY_FIRST = re.compile(
    rf"(\d{{1,2}})(?:st|nd|rd|th)?[\s-]{{1,3}}(?:day\s)?(?:of\s)?({_MONTH})\b\.?[\s,-]{{0,4}}(\d{{4}})", re.IGNORECASE
)
_MONTH_FIRST = re.compile(
    rf"({_MONTH})\b\.?[\s-]{{1,3}}(?:the\s)?(\d{{1,2}})(?:st|nd|rd|th)?[\s,-]{{0,4}}(?:of\s)?(\d{{4}})", re.IGNORECASE
)
_YEAR_FIRST = re.compile(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})(?!\d|[-/.]\d)(?:[T ]?\d{4,6})?")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)")


def day_of(written: str) -> date | None:
    """The day that a found date names in full, four digits of year included; ``None`` for everything less.

    Two numbers that could both be the month are read as in the United States, month first.
    """
    try:
        if match := _DAY_FIRST.search(written):
            return date(int(match[3]), _MONTH_NUMBERS[match[2][:3].casefold()], int(match[1]))
        if match := _MONTH_FIRST.search(written):
            return date(int(match[3]), _MONTH_NUMBERS[match[1][:3].casefold()], int(match[2]))
        if match := re.search(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?:(?!\d)|(?=\d{4}(?:\d{2})?(?!\d)))", written) or _YEAR_FIRST.match(
            written
        ):
            year, *_, month, day = match.groups()
            return date(int(year), int(month), int(day))
        if match := _YEAR_LAST.match(written):
            first, second = int(match[1]), int(match[3])
            month, day = (second, first) if first > 12 else (first, second)
            return date(int(match[4]), month, day)
    except ValueError:
        return None
    return None
