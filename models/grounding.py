"""Whether a generated text says only what its evidence holds. Whoever shows generated text refuses what is not supported."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NEGATIONS = frozenset({"no", "not", "none", "never", "without", "neither", "nor", "cannot", "denies", "negative", "absent"})


def _numbers(text: str) -> list[str]:
    return [match.group().rstrip(".,") for match in _NUMBER.finditer(text)]


def _plain_number(number: str) -> str:
    """``6.50`` and ``6.5`` are one number, ``1,200`` and ``1200`` too; ``65`` is another."""
    digits = re.sub(r",(?=\d{3}(?:\D|$))", "", number)
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def unsupported(text: str, evidence: Iterable[str], vocabulary: frozenset[str]) -> tuple[str, ...]:
    """The words and numbers of ``text`` that neither the evidence nor the allowed vocabulary holds, in order, once each.

    Args:
        text: what was generated.
        evidence: what it may draw on: names, values, units, quoted phrases.
        vocabulary: words that may always stand, small letters: the plain language of explanations. Never names of drugs, tests or
            diseases. A negation counts as plain language only where the evidence has one too: it turns a statement around.
    """
    given = list(evidence)
    words = {word.lower() for part in given for word in _WORD.findall(part)}
    numbers = {_plain_number(number) for part in given for number in _numbers(part)}
    may_negate = bool(words & _NEGATIONS)
    found: list[str] = []
    for match in re.finditer(rf"{_NUMBER.pattern}|{_WORD.pattern}", text):
        claim = match.group().rstrip(".,")
        if claim[0].isdecimal():
            known = _plain_number(claim) in numbers
        elif claim.lower() in _NEGATIONS:
            known = may_negate
        else:
            known = claim.lower() in words or claim.lower() in vocabulary
        if not known and claim not in found:
            found.append(claim)
    return tuple(found)
