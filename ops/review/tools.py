"""What other annotation tools hand back, and what of it becomes labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ops.review.accounts import Pseudonyms
from ops.review.verdicts import label_of
from schemas.errors import MalformedMessage
from schemas.labels import ReviewedLabel, ReviewedSpan
from schemas.samples import Sample


@dataclass(frozen=True, slots=True)
class Annotated:
    """One person's annotation of one sample. ``reviewer`` as the tool names them, ``decided`` its own instant; empty where it keeps none."""

    sample: str
    text: str
    spans: tuple[ReviewedSpan, ...]
    reviewer: str = ""
    decided: str = ""


def labels_of(
    annotated: Iterable[Annotated],
    find: Callable[[str], Sample | None],
    pseudonyms: Pseudonyms,
    *,
    guideline: str,
    now: str,
    judged: bool,
    reviewer: str | None = None,
) -> tuple[list[ReviewedLabel], Counter[str]]:
    """Labels, and how many were refused by why: the sample is not on its topic (any more: its patient may have been erased), its text was
    changed, nobody is named, or its spans are none.

    Args:
        find: the sample of this id, gold questions among them.
        now: instant for what the tool kept none for.
        judged: the tool asked for assertions.
        reviewer: who gave all of them, in place of whom the tool names.
    """
    found: list[ReviewedLabel] = []
    refused: Counter[str] = Counter()
    for one in annotated:
        sample, name = find(one.sample), reviewer or one.reviewer
        if sample is None:
            refused["no such sample"] += 1
        elif sample.note.text != one.text:
            refused["text differs"] += 1
        elif not name:
            refused["no reviewer"] += 1
        else:
            try:
                found.append(
                    label_of(
                        sample,
                        one.spans,
                        pseudonyms.of(name),
                        guideline=guideline,
                        decided=one.decided or now,
                        judged=judged,
                    )
                )
            except MalformedMessage:
                refused["spans"] += 1
    return found, refused
