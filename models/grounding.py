"""Whether a generated text says only what its evidence holds. Whoever shows generated text refuses what is not supported.

The check knows words, not meaning: it finds what was added, never what was left out, and two values of the evidence may still be
told of each other's test. Callers keep the allowed vocabulary free of words that would turn this statement around.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_NUMBER = r"(?<!\w)[-−+]?\d+(?:[.,]\d+)*|\d+(?:[.,]\d+)*"
_WORD = r"[^\W\d_]\w*(?:['’-]\w+)*"  # digits inside too: HbA1c, B12, COVID-19
_CLAIM = re.compile(rf"(?P<number>{_NUMBER})|(?P<word>{_WORD})|(?P<sign>[<>≤≥=≠±%‰↑↓])|(?P<end>[.!?;\n])")
_UNIT = re.compile(r"[ \u00a0\u202f]?((?:[%‰°]|[^\W\d_])(?:[\w/%*^.·-]*[\w%])?)")
_NEGATIONS = frozenset(
    """no not none never without neither nor nothing cannot hardly denies denied deny denying negative absent lack lacks lacking
    unable""".split()  # noqa: SIM905
)
#: Units that plain language has too; a vocabulary that holds them does not free them from their number.
_UNITS_OF_PLAIN_LANGUAGE = frozenset(
    """second seconds minute minutes hour hours day days week weeks month months year years percent times degrees tablet tablets
    drop drops unit units""".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class _Claim:
    kind: str
    text: str
    unit: str = ""  # what stands right behind a number


def _claims(text: str) -> Iterator[_Claim]:
    for match in _CLAIM.finditer(text):
        kind, found = str(match.lastgroup), match.group()
        if kind == "number":
            unit = _UNIT.match(text, match.end())
            yield _Claim(kind, found, unit.group(1).lower() if unit else "")
        else:
            yield _Claim(kind, found)


def _plain_number(number: str) -> str:
    """``6.50`` and ``6.5`` are one number, ``1,200`` and ``1200`` too; ``65`` and ``-6.5`` are others."""
    digits = re.sub(r",(?=\d{3}(?:\D|$))", "", number).replace("−", "-").lstrip("+")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _negates(word: str) -> bool:
    return word in _NEGATIONS or word.endswith(("n't", "n’t")) or word.startswith("non-")


def unsupported(text: str, evidence: Iterable[str], vocabulary: frozenset[str]) -> tuple[str, ...]:
    """The words, numbers and comparison signs of ``text`` that neither the evidence nor the allowed vocabulary holds, in order,
    once each.

    Args:
        text: what was generated.
        evidence: what it may draw on: names, values together with their units, quoted phrases.
        vocabulary: words that may always stand, small letters: the plain language of explanations. Never names of drugs, tests or
            diseases.

    A number counts with the word behind it: both must stand together in the evidence, unless that word is plain language. A
    negation counts only where the evidence denies the same thing, even if the vocabulary holds it: it turns a statement around.
    """
    parts = [list(_claims(part)) for part in evidence]
    known = {claim.text.lower() for part in parts for claim in part if claim.kind != "number"}
    numbers = {_plain_number(claim.text) for part in parts for claim in part if claim.kind == "number"}
    with_units = {(_plain_number(claim.text), claim.unit) for part in parts for claim in part if claim.kind == "number"}
    denied = {word for part in parts for k, claim in enumerate(part) if _negates(claim.text.lower()) for word in _denied(part, k)}
    claims = list(_claims(text))
    found: list[str] = []
    for k, claim in enumerate(claims):
        word = claim.text.lower()
        if claim.kind == "end":
            continue
        shown = claim.text
        if claim.kind == "number":
            number, unit = _plain_number(claim.text), claim.unit
            plain = not unit or (unit in vocabulary and unit not in _UNITS_OF_PLAIN_LANGUAGE)
            supported = number in numbers if plain else (number, unit) in with_units
            shown = claim.text if number not in numbers else f"{claim.text} {unit}"
        elif _negates(word):
            said = _denied(claims, k)
            about = next((w for w in said if w not in vocabulary), said[0] if said else "")
            supported = about in denied
        else:
            supported = word in known or word in vocabulary
        if not supported and shown not in found:
            found.append(shown)
    return tuple(found)


def _denied(claims: list[_Claim], at: int) -> list[str]:
    """The words from a negation to the end of its sentence; one empty word where none follows."""
    words: list[str] = []
    for claim in claims[at + 1 :]:
        if claim.kind == "end":
            break
        if claim.kind == "word" and not _negates(claim.text.lower()):
            words.append(claim.text.lower())
    return words or [""]
