"""Documents to token examples: which labels each word piece may carry, and how readily.

A fully annotated piece allows one label. Where a corpus is silent about a type, a piece outside its spans allows ``O`` with
weight 1 and the labels of that type with weight ``SILENT``; the loss takes the weighted sum of their probabilities (marginal
likelihood of partial labels). With weight 1 for both, nothing ever speaks against a silent type and it spreads over articles
and prepositions: hence the small weight, and none at all for function words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.tokens import WordPieces
from training.data.document import Document

SILENT: Final = 0.15
FUNCTION_WORDS: Final = frozenset(
    """
    a an the of in on at to for from with without by and or but nor as than that this these those which who whom whose it
    its he she they his her their we our us i you is are was were be been being has have had do does did not no may might
    can could should would will shall must there here also then after before during while when where if because due such
    both all some any each other another between among into over under . , ; :
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Example:
    """Word pieces of one document; ``weight`` is a table, pieces x labels: 1 allowed, 0 forbidden, ``SILENT`` not spoken of.
    ``teacher``: log probabilities of the same shape, where a teacher has spoken."""

    ids: npt.NDArray[np.int64]
    shape: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    teacher: npt.NDArray[np.float16] | None = None


def align(document: Document, pieces: WordPieces, types: tuple[str, ...]) -> Example:
    """Token example of a document. A span that begins or ends inside a piece takes the whole piece."""
    tokens = pieces(document.text)
    labels = 1 + 2 * len(types)
    index = {name: 1 + 2 * k for k, name in enumerate(types)}
    certain = np.zeros(labels, dtype=np.float32)
    certain[0] = 1
    outside = certain.copy()
    for name in types:
        if name not in document.annotated:
            outside[index[name] : index[name] + 2] = SILENT
    weight = np.tile(outside, (len(tokens), 1))
    if document.annotated < frozenset(types):
        words = (document.text[a:b].lower() for a, b in zip(tokens.start.tolist(), tokens.end.tolist(), strict=True))
        weight[[k for k, word in enumerate(words) if word in FUNCTION_WORDS]] = certain
    for start, end in document.unknown:
        weight[(tokens.start < end) & (tokens.end > start)] = 1
    for span in document.spans:
        inside = np.flatnonzero((tokens.start < span.end) & (tokens.end > span.start))
        if not len(inside):
            continue
        weight[inside] = 0
        for name in span.types:
            weight[inside[0], index[name]] = 1
            weight[inside[1:], index[name] + 1] = 1
        after = inside[-1] + 1
        if after < len(tokens):
            for name in span.types:  # the span ends here, whatever else the corpus leaves open
                weight[after, index[name] + 1] = 0
    return Example(tokens.ids, tokens.shape, weight)


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """What word pieces could not express, by kind: ``exact`` spans begin and end where pieces do; ``cut`` ones begin or end inside a piece and
    were widened to it; ``lost`` ones touch no piece. ``places`` names the first of the latter two as (document, start, end), no text."""

    spans: int
    exact: int
    cut: int
    lost: int
    places: tuple[tuple[str, int, int], ...]


def alignment_report(documents: Iterable[Document], pieces: WordPieces, *, shown: int = 20) -> AlignmentReport:
    """How exactly the gold spans of some documents fall onto word pieces."""
    exact = cut = lost = 0
    places: list[tuple[str, int, int]] = []
    for document in documents:
        tokens = pieces(document.text)
        starts, ends = set(tokens.start.tolist()), set(tokens.end.tolist())
        for span in document.spans:
            if span.start in starts and span.end in ends:
                exact += 1
                continue
            touched = bool(((tokens.start < span.end) & (tokens.end > span.start)).any())
            cut, lost = cut + touched, lost + (not touched)
            if len(places) < shown:
                places.append((document.id, span.start, span.end))
    return AlignmentReport(exact + cut + lost, exact, cut, lost, tuple(places))
