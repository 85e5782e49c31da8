"""How much a day a note lets a patient take, from the words of its dose and its frequency; what is not surely read is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

_HALF = Decimal("0.5")
_WORDS = {
    "one": Decimal(1),
    "two": Decimal(2),
    "three": Decimal(3),
    "four": Decimal(4),
    "half": _HALF,
    "a": Decimal(1),
    "an": Decimal(1),
    "½": _HALF,
}
_NUMBER = r"(\d{1,3}(?:,\d{3})+|\d{1,6}(?:\.\d{1,4})?)"
_TO = r"(?:\s?(?:-|–|to|or)\s?)"
_MASS = re.compile(
    rf"(?<![\w.,]){_NUMBER}(?:\s?(?:mg|g|gm|grams?|mcg|ug|µg|μg))?(?:{_TO}{_NUMBER})?\s?(mg|milligrams?|g|gm|grams?|mcg|ug|µg|μg|micrograms?)\b(?P<rest>.{{0,12}})",
    re.IGNORECASE,
)
_MG, _G, _UG = Decimal(1), Decimal(1000), Decimal("0.001")
_IN_MG = {
    "mg": _MG, "milligram": _MG, "g": _G, "gm": _G, "gram": _G, "mcg": _UG, "ug": _UG, "µg": _UG, "μg": _UG, "microgram": _UG,
}  # fmt: skip
_COUNT = re.compile(
    rf"(?<![\w.,/-])(?:(\d{{1,2}}(?:\.\d)?)(?:{_TO}(\d{{1,2}}))?|({'|'.join(_WORDS)}))\s?(?:tab|tablet|cap|capsule|pill|puff|caplet)s?\b",
    re.IGNORECASE,
)
#: Units that count pieces (a bare number too), and products that come in pieces.
_PIECE = re.compile(r"|1|#|each|ea|(?:tab|tbl|tablet|cap|capsule|caplet|pill)s?|(?:oral|film[- ]coated)? ?(?:tablet|capsule)s?")
_PIECES = re.compile(r"\b(?:tablet|tab|capsule|cap|caplet|pill)s?\b", re.IGNORECASE)
_A_DAY = re.compile(r"\A\s?(?:/|per|a|every|each)\s?(?:day|d|24\s?h(?:ours?|rs?)?)\b|\A\s?(?:total\s)?daily\b", re.IGNORECASE)
#: By weight, surface, volume, another drug's strength, or rate: no daily dose follows from the text.
_RELATIVE = re.compile(r"\A\s?(?:/|per)\s?(?!d\b|day|24)\w", re.IGNORECASE)
_EVERY = re.compile(rf"\b(?:q|every|each)\.?\s?(\d{{1,2}})(?:{_TO}\d{{1,2}})?\s?(?:h|hr|hrs|hour|hours|o)\b", re.IGNORECASE)
_TIMES = re.compile(
    rf"\b(?:(\d{{1,2}})|({'|'.join(w for w in _WORDS if w.isalpha() and len(w) > 2)}))\s?(?:x|times)\s?(?:/|per|a|each|every)?\s?(?:day|daily|d)\b",
    re.IGNORECASE,
)
_NAMED: tuple[tuple[re.Pattern[str], int | None], ...] = (
    (re.compile(r"\b(?:week|weekly|qweek|qwk|month|monthly|alternate|every other|qod|q\.o\.d)\b", re.IGNORECASE), None),
    (re.compile(r"\bq\.?i\.?d\b|\bfour times\b", re.IGNORECASE), 4),
    (re.compile(r"\bt\.?i\.?d\b|\bthree times\b", re.IGNORECASE), 3),
    (re.compile(r"\bb\.?i\.?d\b|\btwice\b|\btwo times\b", re.IGNORECASE), 2),
    (re.compile(r"\bq\.?d\b|\bo\.?d\b|\bdaily\b|\bonce\b|\bq?h\.?s\b|\bnightly\b|\bbedtime\b|\bq\s?(?:am|pm)\b|\bevery (?:day|morning|evening|night)\b|\b(?:a|per) day\b", re.IGNORECASE), 1),
)  # fmt: skip


def daily_mg(doses: Iterable[str], frequencies: Iterable[str]) -> Decimal | None:
    """Milligrams in a day, the most that the words allow ("500-1000 mg", "every 4 to 6 hours"); ``None`` where they do not say it.

    One mass is needed, and one frequency unless the dose itself is of a day; two different ones of either are not decided between.
    """
    masses = {found for text in doses if (found := _mass(text)) is not None}
    if len(masses) != 1:
        return None
    mg, a_day = masses.pop()
    if a_day:
        return mg
    counts = {count for text in doses if (count := _count(text)) is not None} or {Decimal(1)}
    times = {_times(text) for text in frequencies}
    often = times.pop() if len(times) == 1 else None
    return mg * counts.pop() * often if len(counts) == 1 and often is not None else None


def ordered_mg(daily: Decimal, unit: str, product: str) -> Decimal | None:
    """Milligrams of ``daily``, an amount in ``unit`` (a mass, or pieces of a product whose one strength stands in its name: "Ketorolac 10 MG Oral Tablet").

    ``None``: another unit, no or several strengths, or a strength by volume."""
    written = unit.strip("{}[] ").lower()
    if written in _IN_MG:
        return daily * _IN_MG[written]
    if _PIECE.fullmatch(written) is None or _PIECES.search(product) is None:
        return None
    strength = _mass(product)
    return None if strength is None or strength[1] else daily * strength[0]


def _mass(text: str) -> tuple[Decimal, bool] | None:
    found = _MASS.search(text)
    if found is None or _RELATIVE.match(found["rest"]) or _MASS.search(text, found.end()):
        return None
    numbers = [Decimal(number.replace(",", "")) for number in found.group(1, 2) if number]
    if numbers != sorted(numbers):
        return None  # "800-160 mg": two strengths, no range
    unit = found.group(3).lower()
    return max(numbers) * _IN_MG[unit if unit in _IN_MG else unit.rstrip("s")], _A_DAY.match(found["rest"]) is not None


def _count(text: str) -> Decimal | None:
    found = _COUNT.search(text)
    if found is None:
        return None
    if found.group(3):
        return _WORDS[found.group(3).lower()]
    return max(Decimal(number) for number in found.group(1, 2) if number)


def _times(text: str) -> Decimal | None:
    """How often in a day, at most; ``None`` unknown or not every day."""
    if every := _EVERY.search(text):
        hours = int(every.group(1))
        return Decimal(24) / hours if hours else None
    if times := _TIMES.search(text):
        return Decimal(times.group(1)) if times.group(1) else _WORDS[times.group(2).lower()]
    for pattern, often in _NAMED:
        if pattern.search(text):
            return None if often is None else Decimal(often)
    return None
