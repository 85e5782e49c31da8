"""Spellings of a name that count as one: case, signs, plural, word order, function words, British spelling, possessives."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_WORD = re.compile(r"[a-z0-9]+")
#: Words that tell no two names apart ("carcinoma of the lung", "lung carcinoma").
_IDLE = frozenset(["a", "an", "and", "as", "at", "by", "due", "for", "from", "in", "nos", "of", "on", "or", "other", "the", "to", "type", "unspecified", "with", "without"]) - {
    "and", "type", "without", "due",
}  # fmt: skip
#: Words of the same meaning in names of diseases.
_SAME = {
    "disorder": "disease", "syndrome": "disease", "illness": "disease", "tumour": "neoplasm", "tumor": "neoplasm",
    "malignancy": "cancer", "renal": "kidney", "hepatic": "liver", "cardiac": "heart", "pulmonary": "lung",
    "hepatotoxicity": "liver", "neoplasia": "neoplasm", "i": "1", "ii": "2", "iii": "3", "iv": "4",
}  # fmt: skip
_BRITISH = (
    ("aemia", "emia"), ("aema", "ema"), ("oedema", "edema"), ("haem", "hem"), ("oeso", "eso"), ("paed", "ped"), ("anaes", "anes"),
    ("leuk", "leuk"), ("diarrhoea", "diarrhea"), ("rrhoea", "rrhea"), ("foet", "fet"), ("gynaec", "gynec"), ("tumour", "tumor"),
    ("colour", "color"), ("sulph", "sulf"), ("oestr", "estr"), ("caec", "cec"), ("ischaem", "ischem"), ("faec", "fec"),
    ("isation", "ization"),
)  # fmt: skip
#: How bad, how long and on which side: no part of the name when the name without them is known.
QUALIFIERS = frozenset(
    [
        "acute",
        "chronic",
        "severe",
        "mild",
        "moderate",
        "recurrent",
        "bilateral",
        "left",
        "right",
        "sudden",
        "persistent",
        "intermittent",
        "progressive",
        "early",
        "late",
        "advanced",
        "transient",
        "induced",
        "associated",
        "related",
        "sporadic",
        "familial",
        "inherited",
        "hereditary",
        "primary",
        "secondary",
        "possible",
        "new",
    ]
)
#: Adjective endings and the nouns that they come from ("hypertensive", "hypertension").
_DERIVED = (
    ("tensive", "tension"), ("emic", "emia"), ("otic", "osis"), ("itic", "itis"), ("lepsic", "lepsy"), ("leptic", "lepsy"),
    ("pathic", "pathy"), ("trophic", "trophy"), ("plegic", "plegia"), ("betic", "betes"), ("rhythmic", "rhythmia"),
    ("cardic", "cardia"), ("thymic", "thymia"), ("phrenic", "phrenia"), ("matic", "ma"), ("genic", "genesis"), ("ous", "e"),
    ("toxic", "toxicity"), ("psychotic", "psychosis"), ("cancerous", "cancer"), ("depressive", "depression"), ("depressed", "depression"),
    ("plastic", "plasia"), ("static", "stasis"), ("algic", "algia"), ("uric", "uria"), ("thrombotic", "thrombosis"), ("ic", "ia"),
)  # fmt: skip


def folded(text: str) -> str:
    """``text`` without case, accents, signs and doubled blanks: equal means the same name written the same way."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(_WORD.findall(plain.replace("'s ", " ").replace("\u2019s ", " ")))


def normal(key: str) -> str:
    """The words of a ``folded`` text as a sorted set: American spelling, singular, without function words."""
    return " ".join(sorted({_same(word) for word in key.split() if word not in _IDLE}))


def derived(key: str) -> list[str]:
    """``key`` with its adjectives as nouns, one reading each ending that fits; empty where none does."""
    words = key.split()
    found = []
    for at, word in enumerate(words):
        for ending, noun in _DERIVED:
            if word.endswith(ending) and len(word) > len(ending) + 2:
                found.append(" ".join((*words[:at], word[: -len(ending)] + noun, *words[at + 1 :])))
    return found


#: Heads that say no more than "something is wrong there".
_VAGUE = frozenset(["abnormality", "anomaly", "defect", "involvement", "lesion", "symptom", "disturbance", "problem", "trouble"])


def diseased(key: str) -> str | None:
    """``key`` with "disease" in place of a head that says no more than that: "jaw lesions" are a jaw disease. None for other heads."""
    words = key.split()
    return " ".join((*words[:-1], "disease")) if len(words) > 1 and _same(words[-1]) in _VAGUE else None


def unqualified(key: str) -> str:
    """``key`` without words that say how bad, how long or on which side."""
    return " ".join(word for word in key.split() if word not in QUALIFIERS)


_JOINT = re.compile(r"(?:,? and/or |,? and |,? or |/)")
_BRACKETED = re.compile(r" ?\([^()]*\)")


def unbracketed(text: str) -> str:
    """``text`` without what stands in brackets: "glucose-6-phosphate dehydrogenase (G6PD) deficiency"."""
    return _BRACKETED.sub("", text)


def parts(text: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Readings of the two names that ``text`` joins, the likeliest first: "breast and ovarian cancer" is "breast cancer" and "ovarian
    cancer". None where nothing joins two."""
    found = _JOINT.search(text)
    if found is None:
        return None
    left, right = text[: found.start()].split(), text[found.end() :].split()
    if not left or not right or _JOINT.search(" ".join(right)):
        return None
    firsts = (*(" ".join((*left, *right[k:])) for k in range(1, len(right))), " ".join(left))
    seconds = (" ".join(right), *(" ".join((*left[:k], *right)) for k in range(len(left) - 1, 0, -1)))
    return firsts, seconds


#: Heads behind the name of a disease that name no other: "retinoblastoma tumours".
_REPEATED = (
    frozenset(["neoplasm", "disease", "condition", "phenotype", "carrier", "gene", "mutation", "family", "patient"]) | _VAGUE
)


def wider(key: str) -> Iterator[str]:
    """``key`` with less said, the narrowest reading first: without a head that repeats, without the type at its end, without what
    stands behind "of", then word by word without what stands before the head ("cerebral adrenoleukodystrophy" is one)."""
    words = key.split()
    if len(words) > 1 and _same(words[-1]) in _REPEATED:
        yield " ".join(words[:-1])
    if len(words) > 2 and words[-2] in ("type", "group", "form", "stage", "grade"):
        words = words[:-2]
        yield " ".join(words)
    place = next((at for at, word in enumerate(words) if at and word in ("of", "in")), None)
    if place is not None:
        words = words[:place]
        yield " ".join(words)
    for at in range(1, len(words)):
        yield " ".join(words[at:])


@lru_cache(maxsize=65_536)
def _same(word: str) -> str:
    for british, american in _BRITISH:
        word = word.replace(british, american)
    word = _SAME.get(word, word)
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return _SAME.get(word, word)
