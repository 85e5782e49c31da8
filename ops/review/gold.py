"""Gold questions: notes whose truth is known, shown among others so that nobody can tell which they are."""

from __future__ import annotations

from ops.review.accounts import Pseudonyms
from schemas.findings import MENTION_TYPES, Assertion, Mention
from schemas.ids import derived_id
from schemas.labels import ReviewedLabel

#: Shares of the true spans that come wrong; who accepts what is prefilled reaches an F1 near 0.6 on them.
_LEFT_OUT, _WRONG_TYPE, _WRONG_ASSERTION = 0.25, 0.15, 0.1


def prefilled(truth: ReviewedLabel, pseudonyms: Pseudonyms) -> tuple[Mention, ...]:
    """What a model might have found: the true spans with faults, always the same ones for the same question."""
    found = []
    for number, span in enumerate(truth.spans):
        fault = pseudonyms.draw("fault", truth.sample, str(number))
        if fault < _LEFT_OUT:
            continue
        assertion = span.assertion or Assertion()
        type_ = span.type
        if fault < _LEFT_OUT + _WRONG_TYPE:
            type_ = MENTION_TYPES[(MENTION_TYPES.index(span.type) + 1) % len(MENTION_TYPES)]
        elif fault < _LEFT_OUT + _WRONG_TYPE + _WRONG_ASSERTION:
            assertion = Assertion(negated=not assertion.negated)
        found.append(
            Mention(
                id=derived_id(truth.sample, "gold", ordinal=number),
                note=truth.note.path,
                start=span.start,
                end=span.end,
                text=truth.note.text[span.start : span.end],
                type=type_,
                score=round(0.4 + 0.6 * pseudonyms.draw("score", truth.sample, str(number)), 2),
                source="model",
                assertion=assertion,
            )
        )
    return tuple(found)
