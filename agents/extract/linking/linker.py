"""A mention's concept: candidates by match, the best by match, type and context; a score that says how often such a match is right.

``SCORES`` are, within .05, the shares of right answers by match on the NCBI disease training part, of links whose concept has a MeSH or OMIM code
(``python -m benchmarks.linking``), with the full files of MeSH and MONDO in the index; ``nearest`` is not measured yet and kept below the
default threshold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
from rapidfuzz import fuzz, process

from agents.extract.linking.abbreviations import abbreviated, defined
from agents.extract.linking.index import Code, Concept, Index, read
from agents.extract.linking.names import derived, diseased, folded, normal, parts, unbracketed, unqualified, wider
from agents.extract.linking.nearest import Nearest, Vectorizer
from agents.extract.linking.sources import DOID, DRUGBANK, ICD10CM, MESH, MONDO, RXNORM
from schemas.clinical import Coding
from schemas.findings import Mention

Match = Literal["exact", "normal", "completed", "derived", "unqualified", "joined", "nearest", "wider", "fuzzy"]
SCORES: dict[Match, float] = {
    "exact": 0.92, "normal": 0.69, "completed": 0.8, "derived": 0.6, "unqualified": 0.75, "joined": 0.56, "nearest": 0.5, "wider": 0.5,
    "fuzzy": 0.65,
}  # fmt: skip
#: Of an abbreviation that nothing in its note explains.
UNEXPLAINED = 0.5
#: Of a drug of nearly the same letters: names that look alike are often other drugs (ISMP's list of confused names), and the share above is
#: one of diseases.
LOOK_ALIKE = 0.5
_SHORT = 4
#: Share of a long name's words that the note must hold for the name to explain letters.
_EXPLAINED = 0.75
#: Score from which no further reading of a mention is tried.
_SURE = 0.65
#: Mention types -> groups of concepts; other mentions are never linked.
_GROUPS = {
    "problem": ("problem", "any"), "finding": ("problem", "any"), "medication": ("drug", "any"),
    "test": ("test", "any"), "procedure": ("procedure", "any"),
}  # fmt: skip
#: Systems whose codes are handed on with a concept, in this order; others after them.
_ORDER = (RXNORM, ICD10CM, DOID, MONDO, MESH, DRUGBANK)
#: Names so wide that they are no answer for a narrower mention.
_TOO_WIDE = frozenset(
    [
        "disease",
        "deficiency",
        "defect",
        "lesion",
        "abnormality",
        "anomaly",
        "malformation",
        "symptom",
        "infection",
        "injury",
        "carrier",
        "mutation",
        "condition",
        "phenotype",
    ]
)
_SHORTEST_FUZZY = 6
_FUZZY_CUTOFF = 88.0
_MOST_CANDIDATES = 4000
_LONGEST = 200
_TOKEN = re.compile(r"[A-Za-z0-9]+(?:[-/][A-Za-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Link:
    concept: Concept
    match: Match
    score: float


@dataclass(frozen=True, slots=True)
class Context:
    """What the note says around its mentions: the words in it (normal form), and what its short forms stand for."""

    words: frozenset[str] = frozenset()
    meanings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, text: str, spans: Sequence[tuple[int, int, str]] = ()) -> Context:
        """The context of a note. ``spans``: start, end and type of its mentions."""
        known = defined(text) | abbreviated(text, spans)
        return cls(frozenset(normal(folded(text)).split()), tuple(sorted(known.items())))


_NOTHING = Context()


@dataclass(frozen=True, slots=True)
class _Found:
    """Concepts that a reading of a mention may mean, the likeliest first; ``letters``: the reading is letters that stand for something."""

    match: Match
    ids: tuple[int, ...]
    letters: bool = False


class Linker:
    """Pure and deterministic; safe to use from several threads. Below ``threshold`` a mention stays unlinked.

    Args:
        vectorizer: turns names into the vectors that the index holds (``Nearest``); without it, no nearest name is looked for.
        stages: the matches that are tried; all, but for measuring what each brings.
    """

    def __init__(
        self, index: Index, version: str, threshold: float = 0.6, vectorizer: Vectorizer | None = None,
        stages: frozenset[Match] = frozenset(SCORES), *, context: bool = True,
    ) -> None:  # fmt: skip
        self.index = index
        self._threshold = threshold
        self._stages = stages
        self._context = context
        self._nearest = Nearest(index, vectorizer) if vectorizer is not None and "nearest" in stages else None
        self.version = f"vocabulary-{version}" + (f"+{vectorizer.version}" if vectorizer is not None else "")
        self._near: dict[str, list[str]] = {}
        lettered = {at for key, ids in index.exact.items() if len(key) <= _SHORT for at in ids}
        self._names: dict[int, list[frozenset[str]]] = {}
        for key, ids in index.exact.items():
            for word in key.split():
                if len(word) >= _SHORTEST_FUZZY - 2:
                    self._near.setdefault(word[:4], []).append(key)
            if len(key) > _SHORT:
                for at in lettered.intersection(ids):
                    self._names.setdefault(at, []).append(frozenset(normal(key).split()))
        self._cached = lru_cache(maxsize=20_000)(self._find)

    @classmethod
    def load(cls, path: Path, threshold: float = 0.6, vectorizer: Vectorizer | None = None) -> Linker:
        """Raises ConfigurationError (``index.read``; vectors of another encoder)."""
        index, version = read(path)
        return cls(index, version, threshold, vectorizer)

    def link(self, text: str, kind: str, expansion: str = "", context: Context = _NOTHING) -> Link | None:
        """The concept of a text that is a mention of type ``kind``; ``expansion`` is what it abbreviates."""
        groups = _GROUPS.get(kind)
        if groups is None:
            return None
        best: Link | None = None
        for reading in self._readings(text[:_LONGEST], expansion[:_LONGEST], context):
            found = self._cached(reading, groups)
            link = self._chosen(found, reading, context) if found is not None else None
            if link is not None and (best is None or link.score > best.score):
                best = link
            if best is not None and best.score >= _SURE:
                break
        return best if best is not None and best.score >= self._threshold else None

    def coded(self, mention: Mention, meaning: str = "", context: Context = _NOTHING) -> Mention:
        """``mention`` with the codes of its concept, each marked with this linker's version; one that has codes is left as it is."""
        if mention.codes:
            return mention
        link = self.link(mention.text, mention.type, meaning or mention.expansion, context)
        return mention if link is None else msgspec.structs.replace(mention, codes=self.codings(link))

    def coded_all(self, text: str, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
        """``mentions`` of the note ``text`` with their codes. "long name (LN)": the second mention means the first, here and further on."""
        spans = [(m.start, m.end, m.type) for m in mentions]
        context, known = Context.of(text, spans), abbreviated(text, spans)
        return tuple(self.coded(m, known.get(m.text, ""), context) for m in mentions)

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

    def _readings(self, text: str, expansion: str, context: Context) -> Iterator[str]:
        """What the mention may say in full, the surest first, each once."""
        known = dict(context.meanings)
        known.update({f"{short}s": long for short, long in context.meanings})
        longer = _TOKEN.sub(lambda m: known.get(m[0], m[0]), text) if known else text
        readings = (expansion, known.get(text, ""), longer if text not in known else "", unbracketed(text), text)
        yield from dict.fromkeys(reading for reading in readings if reading.strip())

    def _chosen(self, found: _Found, text: str, context: Context) -> Link:
        """Of several concepts the first; of those that letters stand for, the one whose other names stand in the note. Letters that nothing
        explains have a low score. Names in full gained nothing by the note (NCBI training part)."""
        at, score = found.ids[0], SCORES[found.match]
        if found.letters:
            own = frozenset(normal(folded(text)).split())
            around = context.words - own if self._context else frozenset()
            told = [self._told(one, around, own) for one in found.ids]
            at = found.ids[told.index(max(told))]
            score = SCORES["completed"] if max(told) >= _EXPLAINED else UNEXPLAINED
        elif len(found.ids) > 1 and found.match != "exact":
            score = round(score * 0.9, 4)
        concept = self.index.concepts[at]
        if found.match == "fuzzy" and concept.group == "drug":
            score = LOOK_ALIKE
        return Link(concept, found.match, score)

    def _told(self, at: int, around: frozenset[str], own: frozenset[str]) -> float:
        """The largest share of the words of one of the concept's names that stand in the note, the mention's own aside."""
        names = (name - own for name in self._names.get(at, ()))
        return max((len(name & around) / len(name) for name in names if name), default=0.0)

    def _find(self, text: str, groups: tuple[str, ...]) -> _Found | None:
        key = folded(text)
        for match, ids in self._candidates(text, key, groups):
            fitting = tuple(at for at in ids if self.index.concepts[at].group in groups)
            if fitting and match in self._stages:
                # Letters that the note does not explain: two and more meanings are the rule.
                letters = match not in ("fuzzy", "joined") and len(key) <= _SHORT and text.isupper()
                return _Found(match, fitting, letters)
        return None

    def _candidates(self, text: str, key: str, groups: tuple[str, ...]) -> Iterator[tuple[Match, tuple[int, ...]]]:
        exact, forms = self.index.exact, self.index.normal
        if not key:
            return
        yield "exact", exact.get(key, ())
        yield "normal", forms.get(normal(key), ())
        if joined := parts(text):
            first, second = (self._named(readings, groups) for readings in joined)
            if first and second:
                yield "joined", first
        yield "completed", forms.get(normal(f"{key} disease"), ())
        if (vague := diseased(key)) is not None:
            yield "completed", forms.get(normal(vague), ())
        for reading in derived(key):
            yield "derived", forms.get(normal(reading), ())
        bare = unqualified(key)
        if bare and bare != key:
            yield "unqualified", exact.get(bare, ()) or forms.get(normal(bare), ())
            for reading in derived(bare):
                yield "unqualified", forms.get(normal(reading), ())
        if self._nearest is not None and len(key) > _SHORT:
            yield "nearest", self._nearest.find(key)
        if len(key) >= _SHORTEST_FUZZY and "fuzzy" in self._stages:
            for name in self._alike(key):
                yield "fuzzy", exact[name]
        for reading in wider(key):
            if len(reading) > _SHORT and (form := normal(reading)) not in _TOO_WIDE:
                yield "wider", exact.get(reading, ()) or forms.get(form, ())

    def _named(self, readings: Sequence[str], groups: tuple[str, ...]) -> tuple[int, ...]:
        for reading in readings:
            key = folded(reading)
            ids = self.index.exact.get(key, ()) or self.index.normal.get(normal(key), ())
            if len(key) > _SHORT and any(self.index.concepts[at].group in groups for at in ids):
                return ids
        return ()

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
