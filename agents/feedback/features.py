"""Numbers of one message, by which drift is told: de-identified findings only. And the bins in which they are counted.

Numbers are of whole messages, so that the many mentions of one note do not count as many observations. Bins are fixed, so that what several
workers counted adds up, and a baseline is a few hundred small integers whatever it was made of.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.findings import MENTION_TYPES, Assertion
from schemas.flags import Decision

#: Changes whenever a number or its bins mean something else: what was counted before is not compared with what is counted after.
SCHEME: Final = "1"
LENGTH, RATE, FLAGS, CONFIDENCE, UNKNOWN, UNPLACED = (
    "length", "mentions per 1,000 characters", "flags", "confidence", "out of vocabulary", "outside sections",
)  # fmt: skip
#: Sections as the extract stage names them (a test compares).
SECTIONS: Final = (
    "chief_complaint", "history_of_present_illness", "past_medical_history", "past_surgical_history", "family_history", "social_history",
    "allergies", "medications", "immunizations", "review_of_systems", "vital_signs", "physical_exam", "results", "imaging", "indication",
    "technique", "findings", "impression", "assessment", "assessment_plan", "plan", "hospital_course", "procedures", "instructions",
    "complications", "other",
)  # fmt: skip
ASSERTIONS: Final = ("negated", "possible", "historical", "hypothetical", "family")
FEATURES: Final = (
    LENGTH, RATE, FLAGS, CONFIDENCE, UNKNOWN, UNPLACED, *ASSERTIONS,
    *(f"share of {name}" for name in MENTION_TYPES), *(f"section {name}" for name in SECTIONS),
)  # fmt: skip

_RULES = "rules/"
_STATED = ("problem", "finding")
#: What de-identification left in place of an identifier.
_TAG = re.compile(r"\[[A-Z][A-Z_ -]*\d*\]")
_WORD = re.compile(r"[^\W\d_]{2,}")


def features(decision: Decision, known: frozenset[str] = frozenset()) -> dict[str, float]:
    """Numbers by name (``FEATURES``); empty without a note. What has no value in this message (a share of nothing) is left out.

    Args:
        known: lower-case words of a vocabulary; without one the share of words that are not in it is left out.
    """
    findings = decision.findings
    length = sum(len(note.text) for note in findings.notes)
    if not length:
        return {}
    mentions = findings.mentions
    found = {LENGTH: float(length), RATE: 1000 * len(mentions) / length, FLAGS: float(len(decision.flags))}
    scores = [mention.score for mention in mentions if not mention.source.startswith(_RULES)]
    if scores:
        found[CONFIDENCE] = sum(scores) / len(scores)
    if known and (words := [word for note in findings.notes for word in words_of(note.text)]):
        found[UNKNOWN] = sum(word not in known for word in words) / len(words)
    if mentions:
        types, sections = Counter(mention.type for mention in mentions), Counter(mention.section for mention in mentions)
        found |= {f"share of {name}": types[name] / len(mentions) for name in MENTION_TYPES}
        found |= {f"section {name}": sections[name] / len(mentions) for name in SECTIONS}
        found[UNPLACED] = sections[""] / len(mentions)
    stated = [mention.assertion for mention in mentions if mention.type in _STATED]
    if stated:
        found |= {name: sum(_holds(assertion, name) for assertion in stated) / len(stated) for name in ASSERTIONS}
    return found


def words_of(text: str) -> list[str]:
    """Words of two letters or more in lower case, without the tags of de-identification."""
    return _WORD.findall(_TAG.sub(" ", text).lower())


def _holds(assertion: Assertion, name: str) -> bool:
    return bool(getattr(assertion, name))


@dataclass(frozen=True, slots=True)
class Bins:
    """``of``: value -> bin, from 0; ``middle``: a value of the bin, for people."""

    of: Callable[[float], int]
    middle: Callable[[int], float]


def _geometric(lowest: float, ratio: float, most: int) -> Bins:
    """Bin 0 for what is under ``lowest``; each further one ``ratio`` times as high as the one before, the last open."""
    step = math.log(ratio)
    return Bins(
        lambda value: 0 if value < lowest else min(most, 1 + int(math.log(value / lowest) / step)),
        lambda number: 0.0 if number == 0 else lowest * ratio ** (number - 0.5),
    )


_FIFTIETHS = 50
#: 0 and 1 apart from what lies between: many shares are one of the two.
_FRACTION = Bins(
    lambda value: 0 if value <= 0 else _FIFTIETHS + 1 if value >= 1 else 1 + int(value * _FIFTIETHS),
    lambda number: 0.0 if number == 0 else 1.0 if number > _FIFTIETHS else (number - 0.5) / _FIFTIETHS,
)
_DOUBT = _geometric(1e-4, 1.15, 67)
_BINS = {
    LENGTH: _geometric(1, 1.1, 160),
    RATE: _geometric(0.1, 1.1, 100),
    FLAGS: Bins(lambda value: min(20, int(value)), float),
    #: By the distance to certainty: 0.99 and 0.95 are further apart than 0.60 and 0.64.
    CONFIDENCE: Bins(lambda value: _DOUBT.of(1 - value), lambda number: 1 - _DOUBT.middle(number)),
}


def bins_of(feature: str) -> Bins:
    return _BINS.get(feature, _FRACTION)
