"""A mention's concept: candidates by match, the best by match, type and context; a score that says how often such a match is right.

``SCORES`` are shares of right answers by match on the NCBI disease training part, of links whose concept has a MeSH or OMIM code
(``python -m benchmarks.linking``); ``derived`` is set below its share of .8, which ten mentions are too few for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec
from rapidfuzz import fuzz, process

from agents.extract.linking.index import Code, Concept, Index, read
from agents.extract.linking.names import derived, folded, normal, unqualified
from agents.extract.linking.sources import DOID, DRUGBANK, ICD10CM, MESH, MONDO, RXNORM
from schemas.clinical import Coding
from schemas.findings import Mention

Match = Literal["exact", "normal", "completed", "derived", "unqualified", "fuzzy"]
SCORES: dict[Match, float] = {"exact": 0.92, "normal": 0.9, "completed": 0.74, "derived": 0.7, "unqualified": 0.63, "fuzzy": 0.55}
#: Of an abbreviation that nothing in its note explains.
UNEXPLAINED = 0.5
_SHORT = 4
#: Mention types -> groups of concepts; other mentions are never linked.
_GROUPS = {
    "problem": ("problem", "any"), "finding": ("problem", "any"), "medication": ("drug", "any"),
    "test": ("test", "any"), "procedure": ("procedure", "any"),
}  # fmt: skip
#: Systems whose codes are handed on with a concept, in this order; others after them.
_ORDER = (RXNORM, ICD10CM, DOID, MONDO, MESH, DRUGBANK)
_SHORTEST_FUZZY = 6
_FUZZY_CUTOFF = 88.0
_MOST_CANDIDATES = 4000
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Link:
    concept: Concept
    match: Match
    score: float


class Linker:
    """Pure and deterministic; safe to use from several threads. Below ``threshold`` a mention stays unlinked."""

    def __init__(self, index: Index, version: str, threshold: float = 0.6) -> None:
        self._index = index
        self._threshold = threshold
        self.version = f"vocabulary-{version}"
        self._near: dict[str, list[str]] = {}
        for key in index.exact:
            for word in key.split():
                if len(word) >= _SHORTEST_FUZZY - 2:
                    self._near.setdefault(word[:4], []).append(key)
        self._cached = lru_cache(maxsize=20_000)(self._find)

    @classmethod
    def load(cls, path: Path, threshold: float = 0.6) -> Linker:
        """Raises ConfigurationError (``index.read``)."""
        index, version = read(path)
        return cls(index, version, threshold)

    def link(self, text: str, kind: str, expansion: str = "") -> Link | None:
        """The concept of a text that is a mention of type ``kind``; ``expansion`` is what it abbreviates."""
        groups = _GROUPS.get(kind)
        if groups is None:
            return None
        found = self._cached(expansion[:_LONGEST], groups) if expansion else None
        found = found or self._cached(text[:_LONGEST], groups)
        return found if found is not None and found.score >= self._threshold else None

    def coded(self, mention: Mention, meaning: str = "") -> Mention:
        """``mention`` with the codes of its concept, each marked with this linker's version; one that has codes is left as it is."""
        if mention.codes or (link := self.link(mention.text, mention.type, meaning or mention.expansion)) is None:
            return mention
        return msgspec.structs.replace(mention, codes=self.codings(link))

    def coded_all(self, text: str, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
        """``mentions`` of the note ``text`` with their codes. "long name (LN)": the second mention means the first, here and further on."""
        known = abbreviated(text, [(m.start, m.end, m.type) for m in mentions])
        return tuple(self.coded(m, known.get(m.text, "")) for m in mentions)

    def codings(self, link: Link) -> tuple[Coding, ...]:
        """Of each system the concept's first code."""
        firsts: dict[str, Code] = {}
        for code in (*link.concept.codes, *link.concept.further):
            firsts.setdefault(code[0], code)
        rows = sorted(firsts.values(), key=lambda c: _ORDER.index(c[0]) if c[0] in _ORDER else len(_ORDER))
        return tuple(
            Coding(system=system, code=code, display=display, inferred=self.version, score=link.score)
            for system, code, display in rows
        )

    def _find(self, text: str, groups: tuple[str, ...]) -> Link | None:
        key = folded(text)
        for match, ids in self._candidates(key):
            fitting = [at for at in ids if self._index.concepts[at].group in groups]
            if fitting and match != "fuzzy" and len(key) <= _SHORT and text.isupper():
                # Letters that the note does not explain: two and more meanings are the rule.
                return Link(self._index.concepts[fitting[0]], match, UNEXPLAINED)
            if fitting:
                score = SCORES[match] if len(fitting) == 1 or match == "exact" else round(SCORES[match] * 0.9, 4)
                return Link(self._index.concepts[fitting[0]], match, score)
        return None

    def _candidates(self, key: str) -> Iterator[tuple[Match, tuple[int, ...]]]:
        exact, forms = self._index.exact, self._index.normal
        if not key:
            return
        yield "exact", exact.get(key, ())
        yield "normal", forms.get(normal(key), ())
        yield "completed", forms.get(normal(f"{key} disease"), ())
        for reading in derived(key):
            yield "derived", forms.get(normal(reading), ())
        bare = unqualified(key)
        if bare and bare != key:
            yield "unqualified", exact.get(bare, ()) or forms.get(normal(bare), ())
            for reading in derived(bare):
                yield "unqualified", forms.get(normal(reading), ())
        if len(key) >= _SHORTEST_FUZZY:
            for name in self._alike(key):
                yield "fuzzy", exact[name]

    def _alike(self, key: str) -> list[str]:
        """Names of nearly the same letters among those that share the beginning of a word, the most alike first."""
        pools = [self._near[word[:4]] for word in key.split() if word[:4] in self._near and len(word) >= 4]
        if not pools:
            return []
        pool = min(pools, key=len)[:_MOST_CANDIDATES]
        rows = process.extract(key, pool, scorer=fuzz.ratio, score_cutoff=_FUZZY_CUTOFF, limit=5)
        marks = _marks(key)
        return [name for name, _, _ in sorted(rows, key=lambda row: (-row[1], row[0])) if _marks(name) == marks]


def _marks(key: str) -> set[str]:
    """Numbers and single letters: "type 1" is never nearly "type 2", nor "factor V" nearly "factor X"."""
    return {word for word in key.split() if len(word) == 1 or any(c.isdigit() for c in word)}


def abbreviated(text: str, spans: Sequence[tuple[int, int, str]]) -> dict[str, str]:
    """Short mention -> long mention of the same type right before it: "alkaptonuria (AKU)". ``spans``: start, end, type."""
    found: dict[str, str] = {}
    ordered = sorted(spans)
    for (start, end, kind), (after, last, other) in pairwise(ordered):
        short = text[after:last]
        if kind == other and text[end:after] in (" (", "(") and text[last : last + 1] in (")", ",", ";") and _is_short(short):
            found.setdefault(short, text[start:end])
    return found


def _is_short(text: str) -> bool:
    return 1 < len(text) <= 8 and " " not in text and sum(c.isupper() for c in text) > 1
