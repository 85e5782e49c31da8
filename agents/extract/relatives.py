"""Which relatives a family mention is about, read from its own sentence.

Relatives named right behind the mention ("diabetes in her mother") go first, then the nearest before it ("mother and father had
diabetes"), then the first after it ("diabetes, gout in a sister"). A sentence that names none says nothing.
"""

from __future__ import annotations

import re

#: Characters to each side in which relatives are looked for, so that the time does not grow with the square of a sentence.
_REACH = 300
_NAMES = {
    "mom": "mother", "mum": "mother", "dad": "father", "grandma": "grandmother", "grandpa": "grandfather",
}  # fmt: skip
_KIN = (
    r"(?:(?:maternal|paternal)\s(?:grand(?:mother|father|ma|pa)|aunt|uncle|cousin)|half[ -](?:brother|sister)|"
    r"grand(?:mother|father|ma|pa|daughter|son)|mother|father|mom|mum|dad|sister|brother|daughter|son|aunt|uncle|cousin|niece|nephew)s?"
)
_GROUP = re.compile(
    rf"\b(?<![-'/]){_KIN}\b(?!-)(?:(?:,?\s(?:and|&)\s|,\s|/)(?:(?:his|her|a|one|the)\s)?{_KIN}\b)*(?!-)", re.IGNORECASE
)
_ONE = re.compile(rf"\b{_KIN}\b", re.IGNORECASE)
_BEHIND = re.compile(r"\s*(?:in|\(|-|:)\s*(?:(?:his|her|the|a|one|patient's)\s)?", re.IGNORECASE)


def relatives(text: str, start: int, end: int, sentence: tuple[int, int]) -> tuple[str, ...]:
    """Relatives in text order, singular and lower case ("maternal aunt"), of the mention ``text[start:end]``."""
    low, high = max(sentence[0], start - _REACH), min(sentence[1], end + _REACH)
    near = _BEHIND.match(text, end, high)
    group = _GROUP.match(text, near.end(), high) if near else None
    if group is None:
        *_, group = (None, *_GROUP.finditer(text, low, start))
    if group is None:
        group = _GROUP.search(text, end, high)
    return tuple(dict.fromkeys(_canonical(m.group()) for m in _ONE.finditer(group.group()))) if group else ()


def _canonical(words: str) -> str:
    name = " ".join(words.lower().replace("-", " ").split()).removesuffix("s")
    side, _, kin = name.rpartition(" ")
    return f"{side} {_NAMES.get(kin, kin)}".strip()
