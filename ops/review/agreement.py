"""How far two reviewers of the same samples agree: Cohen's kappa over the words of the notes, F1 over their spans, by type."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations

import msgspec

from schemas.findings import MENTION_TYPES
from schemas.labels import ADJUDICATED, ReviewedLabel, ReviewedSpan
from training.scoring import Counts, cohen_kappa

#: What kappa counts: words and single signs, as people read them. Characters would make long words count more.
_WORD = re.compile(r"\w+|[^\w\s]")
ALL = "all"


class TypeAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """Of one type, or of ``all``. ``kappa`` over words, None where there is nothing to agree on; ``exact`` and ``overlap`` are F1."""

    type: str
    kappa: float | None
    exact: float
    overlap: float
    first: int
    second: int


class PairAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """Two reviewers by pseudonym. ``assertions``: share of the spans that both gave alike (``matched``) on which all axes agree."""

    first: str
    second: str
    samples: int
    types: tuple[TypeAgreement, ...]
    matched: int
    assertions: float | None


def agreement(labels: Iterable[ReviewedLabel]) -> list[PairAgreement]:
    """Every pair of reviewers with a sample in common, by name; labels that settle a dispute are left out."""
    by_reviewer: dict[str, dict[str, ReviewedLabel]] = defaultdict(dict)
    for label in labels:
        if not label.reviewer.startswith(ADJUDICATED):
            by_reviewer[label.reviewer][label.sample] = label
    found = []
    for first, second in combinations(sorted(by_reviewer), 2):
        common = sorted(by_reviewer[first].keys() & by_reviewer[second].keys())
        if common:
            pairs = [(by_reviewer[first][name], by_reviewer[second][name]) for name in common]
            found.append(_pair(first, second, pairs))
    return found


def overlap_matches(one: Iterable[ReviewedSpan], other: Iterable[ReviewedSpan]) -> int:
    """Spans of one side with a partner of their type on the other that they touch; equal places first, each span once."""
    left = sorted(one, key=lambda s: (s.start, s.end))
    right = sorted(other, key=lambda s: (s.start, s.end))
    places = {(s.start, s.end, s.type) for s in left} & {(s.start, s.end, s.type) for s in right}
    left, right = ([s for s in side if (s.start, s.end, s.type) not in places] for side in (left, right))
    count = len(places)
    for span in left:
        partner = next((s for s in right if s.type == span.type and s.start < span.end and span.start < s.end), None)
        if partner is not None:
            right.remove(partner)
            count += 1
    return count


def _pair(first: str, second: str, pairs: list[tuple[ReviewedLabel, ReviewedLabel]]) -> PairAgreement:
    types = [row for name in (ALL, *MENTION_TYPES) if (row := _type(name, pairs)) is not None]
    matched = same = 0
    for one, other in pairs:
        given = {(s.start, s.end, s.type): s.assertion for s in one.spans}
        for span in other.spans:
            place = (span.start, span.end, span.type)
            if span.assertion is not None and given.get(place) is not None:
                matched += 1
                same += given[place] == span.assertion
    return PairAgreement(
        first=first, second=second, samples=len(pairs), types=tuple(types), matched=matched,
        assertions=same / matched if matched else None,
    )  # fmt: skip


def _type(name: str, pairs: list[tuple[ReviewedLabel, ReviewedLabel]]) -> TypeAgreement | None:
    """None where neither gave a span of this type."""
    words: Counter[tuple[str, str]] = Counter()
    exact, overlap = Counts(), 0
    firsts = seconds = 0
    for one, other in pairs:
        left, right = ([s for s in label.spans if name in (ALL, s.type)] for label in (one, other))
        text = one.note.text
        words.update(zip(_words(text, left), _words(text, right), strict=True))
        common = len({(s.start, s.end, s.type) for s in left} & {(s.start, s.end, s.type) for s in right})
        exact.right += common
        overlap += overlap_matches(left, right)
        firsts, seconds = firsts + len(left), seconds + len(right)
    if not firsts and not seconds:
        return None
    exact.missed, exact.wrong = firsts - exact.right, seconds - exact.right
    f1 = 2 * overlap / (firsts + seconds)
    return TypeAgreement(type=name, kappa=cohen_kappa(words), exact=exact.f1, overlap=f1, first=firsts, second=seconds)


def _words(text: str, spans: Iterable[ReviewedSpan]) -> list[str]:
    """The type of each word, empty for none."""
    of: dict[int, str] = {}
    for span in spans:
        of.update(dict.fromkeys(range(span.start, span.end), span.type))
    return [of.get(match.start(), "") for match in _WORD.finditer(text)]
