"""Durations in words as ISO 8601 durations: "for 3 weeks" is P3W."""

from __future__ import annotations

import re

_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
            "twelve": 12, "fourteen": 14}  # fmt: skip
_UNITS = {"min": "PT{}M", "h": "PT{}H", "d": "P{}D", "w": "P{}W", "mo": "P{}M", "y": "P{}Y"}
_PERIOD = re.compile(
    rf"(?<![\w.,/-])(\d{{1,3}}|{'|'.join(_NUMBERS)})(?:\s(?:more|full))?[\s-](min|h|d|w|mo|y)"
    r"(?:(?<=min)(?:ute)?s?|(?<=h)(?:ours?|rs?)|(?<=d)ays?|(?<=w)(?:eeks?|ks?)|(?<=mo)(?:nth)?s?|(?<=y)(?:ears?|rs?))\b",
    re.IGNORECASE,
)


def iso_duration(words: str) -> str:
    """The one period that ``words`` name; empty where there is none, several, a range, or a number left open ("a few days")."""
    found = list(_PERIOD.finditer(words))
    if len(found) != 1 or re.search(r"\d\s?(?:-|–|to|or)\s?\d|\bto\b|\bor\b", words, re.IGNORECASE):
        return ""
    number, unit = found[0].groups()
    count = _NUMBERS.get(number.lower()) or int(number)
    return _UNITS[unit.lower()].format(count) if count else ""
