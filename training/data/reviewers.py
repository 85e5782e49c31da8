"""Whose labels may teach: one rule for the review page, for agreement and for retraining. Pure: the labels and the policy alone decide.

A label that is left out stays on its topic; here stands why it is left out. Limits against poisoning: labels a day, gold questions, and
reviewers who delete or add spans unlike all others.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from schemas.errors import ConfigurationError
from schemas.labels import ADJUDICATED, Edits, ReviewedLabel, ReviewedSpan
from streams.settings import Review
from training.data.errors import DataError
from training.data.exports import reviewed_labels
from training.scoring import Counts

#: From a median absolute deviation to a standard deviation, where values are normal.
_MAD = 1.4826
#: Rates closer than this to the others' median are nobody's outlier, however much the others are of one mind.
_FLOOR = 0.02
#: Fewer others have no spread worth the name.
_FEWEST_OTHERS = 3

#: ``gold_question`` and ``same`` (another reviewer's equal label is kept) say nothing against the label.
Reason = Literal["gold", "outlier", "cap", "disputed", "adjudicated", "same", "gold_question"]


@dataclass(frozen=True, slots=True)
class Trust:
    """See ``streams.settings.Review``."""

    cap_per_day: int = 200
    gold_f1: float = 0.6
    gold_fewest: int = 5
    outlier_fewest: int = 20
    outlier_z: float = 3.5

    @classmethod
    def of(cls, review: Review) -> Trust:
        """What the site's settings say."""
        return cls(review.cap_per_day, review.gold_f1, review.gold_fewest, review.outlier_fewest, review.outlier_z)


@dataclass(frozen=True, slots=True)
class Standing:
    """One reviewer, by pseudonym. ``gold_f1`` is over ``gold_answers``; the z values are robust, None where they cannot be told.

    ``reason`` is why all labels of the reviewer are put aside, empty where they are not.
    """

    reviewer: str
    labels: int
    gold_answers: int
    gold_f1: float | None
    deletions_z: float | None
    additions_z: float | None
    reason: Literal["", "gold", "outlier"]


@dataclass(frozen=True, slots=True)
class Aside:
    label: ReviewedLabel
    reason: Reason


@dataclass(frozen=True, slots=True)
class Trusted:
    """``kept``: at most one label a sample; with ``put_aside`` every label that came in, each once. ``standings`` by pseudonym."""

    kept: tuple[ReviewedLabel, ...]
    put_aside: tuple[Aside, ...]
    standings: Mapping[str, Standing]


def read_gold(path: Path) -> dict[str, ReviewedLabel]:
    """Gold questions by sample: one reviewed label a line, whose spans are the truth.

    Raises:
        DataError: ``record``; ``offset``: a span leaves its note; ``twice``: a sample stands there before.
    """
    found: dict[str, ReviewedLabel] = {}
    for number, label in reviewed_labels(path):
        if label.sample in found:
            raise DataError("twice", path, number)
        if any(not 0 <= span.start < span.end <= len(label.note.text) for span in label.spans):
            raise DataError("offset", path, number)
        found[label.sample] = label
    return found


def gold_of(review: Review) -> dict[str, ReviewedLabel]:
    """The site's gold questions, none where it has no file. Raises ConfigurationError: they cannot be read."""
    try:
        return read_gold(review.gold) if review.gold is not None else {}
    except (OSError, DataError, UnicodeDecodeError):
        raise ConfigurationError(path="review.gold", detail="needs reviewed labels, one a line, one a sample") from None


def trusted(labels: Iterable[ReviewedLabel], gold: Mapping[str, ReviewedLabel], policy: Trust) -> Trusted:
    """Which labels may teach.

    Args:
        labels: as they lie on the topic; of several with one id the last counts.
        gold: questions whose answer is known, by sample; answers to them measure, and are never kept.
    """
    latest = sorted({label.id: label for label in labels}.values(), key=lambda label: (label.decided, label.id))
    standings = _standings(latest, gold, policy)
    aside: list[Aside] = []
    left: dict[str, list[ReviewedLabel]] = defaultdict(list)
    days: Counter[tuple[str, str]] = Counter()
    for label in latest:
        who = person(label)
        days[who, label.decided[:10]] += 1
        against = standings[who].reason
        if label.sample in gold:
            aside.append(Aside(label, "gold_question"))
        elif against:
            aside.append(Aside(label, against))
        elif days[who, label.decided[:10]] > policy.cap_per_day:
            aside.append(Aside(label, "cap"))
        else:
            left[label.sample].append(label)
    kept: list[ReviewedLabel] = []
    for several in left.values():
        settled = [label for label in several if label.reviewer.startswith(ADJUDICATED)]
        if settled:
            kept.append(settled[-1])
            aside.extend(Aside(label, "adjudicated") for label in several if label is not settled[-1])
        elif all(agree(one, other) for one, other in combinations(several, 2)):
            fullest = max(several, key=_judged)  # of equal ones the first
            kept.append(fullest)
            aside.extend(Aside(label, "same") for label in several if label is not fullest)
        else:
            aside.extend(Aside(label, "disputed") for label in several)
    return Trusted(tuple(kept), tuple(aside), standings)


def person(label: ReviewedLabel) -> str:
    """Pseudonym of who gave it, in either part."""
    return label.reviewer.removeprefix(ADJUDICATED)


def agree(one: ReviewedLabel, other: ReviewedLabel) -> bool:
    """Whether two labels say the same: all spans, and the assertions and flags that both judged."""
    spans = [{(span.start, span.end, span.type): span.assertion for span in label.spans} for label in (one, other)]
    if spans[0].keys() != spans[1].keys() or set(one.annotated) != set(other.annotated):
        return False
    if any(None not in (said, spans[1][place]) and said != spans[1][place] for place, said in spans[0].items()):
        return False
    return all(other.flags.get(flag, verdict) == verdict for flag, verdict in one.flags.items())


def _judged(label: ReviewedLabel) -> int:
    return sum(span.assertion is not None for span in label.spans) + len(label.flags)


def edits_of(prefilled: Iterable[ReviewedSpan], spans: Iterable[ReviewedSpan]) -> Edits:
    """What became of prefilled spans, by their places; assertions are not counted."""
    before = {(span.start, span.end): span.type for span in prefilled}
    after = {(span.start, span.end): span.type for span in spans}
    common = before.keys() & after.keys()
    kept = sum(before[place] == after[place] for place in common)
    return Edits(
        prefilled=len(before),
        kept=kept,
        retyped=len(common) - kept,
        deleted=len(before) - len(common),
        added=len(after) - len(common),
    )


def gold_counts(answer: ReviewedLabel, truth: ReviewedLabel) -> Counts:
    """A span is right when place, type and, where the truth judges it, assertion are; types that the truth does not annotate do not count."""
    given = {(span.start, span.end, span.type): span for span in answer.spans if span.type in truth.annotated}
    counts = Counts()
    for wanted in truth.spans:
        found = given.pop((wanted.start, wanted.end, wanted.type), None)
        if found is None:
            counts.missed += 1
        elif wanted.assertion is None or found.assertion == wanted.assertion:
            counts.right += 1
        else:
            counts.wrong += 1
            counts.missed += 1
    counts.wrong += len(given)
    return counts


def _standings(labels: Sequence[ReviewedLabel], gold: Mapping[str, ReviewedLabel], policy: Trust) -> dict[str, Standing]:
    by_person: dict[str, list[ReviewedLabel]] = defaultdict(list)
    for label in labels:
        by_person[person(label)].append(label)
    rates = {who: found for who, theirs in by_person.items() if (found := _rates(theirs, gold, policy)) is not None}
    standings = {}
    for who, theirs in by_person.items():
        answers = [(label, gold[label.sample]) for label in theirs if label.sample in gold]
        f1 = _gold_f1(answers) if answers else None
        own, others = rates.get(who), [found for name, found in rates.items() if name != who]
        deletions, additions = (_z(own[k] if own else None, [one[k] for one in others]) for k in (0, 1))
        out = any(z is not None and abs(z) > policy.outlier_z for z in (deletions, additions))
        failed = f1 is not None and len(answers) >= policy.gold_fewest and f1 < policy.gold_f1
        reason: Literal["", "gold", "outlier"] = "gold" if failed else "outlier" if out else ""
        standings[who] = Standing(who, len(theirs), len(answers), f1, deletions, additions, reason)
    return standings


def _gold_f1(answers: Iterable[tuple[ReviewedLabel, ReviewedLabel]]) -> float:
    total = Counts()
    for answer, truth in answers:
        one = gold_counts(answer, truth)
        total.right, total.wrong, total.missed = total.right + one.right, total.wrong + one.wrong, total.missed + one.missed
    return total.f1 if total.right + total.wrong + total.missed else 1.0  # nothing was there, and nothing was found


@dataclass(frozen=True, slots=True)
class _Rate:
    """``share`` of ``number`` spans."""

    share: float
    number: int


def _rates(labels: Sequence[ReviewedLabel], gold: Mapping[str, ReviewedLabel], policy: Trust) -> tuple[_Rate, _Rate] | None:
    """Of prefilled spans that were deleted, and of given spans that were added; None for too few labels."""
    edits = [label.edits for label in labels if label.edits is not None and label.sample not in gold]
    if len(edits) < policy.outlier_fewest:
        return None
    shown = sum(one.prefilled for one in edits)
    given = sum(one.kept + one.retyped + one.added for one in edits)
    deleted, added = sum(one.deleted for one in edits), sum(one.added for one in edits)
    return _Rate(deleted / max(1, shown), shown), _Rate(added / max(1, given), given)


def _z(own: _Rate | None, others: Sequence[_Rate]) -> float | None:
    """Distance from the median of the others in robust standard deviations (Iglewicz and Hoaglin 1993), but never in less than the
    sampling error of so many spans."""
    if own is None or len(others) < _FEWEST_OTHERS:
        return None
    middle = statistics.median(one.share for one in others)
    spread = _MAD * statistics.median(abs(one.share - middle) for one in others)
    error = math.sqrt(middle * (1 - middle) / max(1, own.number))
    return (own.share - middle) / max(spread, error, _FLOOR)
