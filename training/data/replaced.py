"""Mention replacement: copies of annotated documents in which other names of the same type stand for some of the mentions, so that a model
learns what a name looks like where it stands rather than the names themselves (Dai and Adel 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random

from training.data.document import Document, GoldSpan
from training.data.lexicon import Lexicon

_FROM_LEXICON = 0.6  # share of the names that terminologies give where they have some; the others are mentions of other documents
_KINDS = ("medication", "problem", "finding")  # values and times of another document would make no sense
Names = Mapping[str, tuple[Sequence[str], Sequence[str]]]


def names_of(documents: Iterable[Document], lexicon: Lexicon) -> Names:
    """Names by type: the documents' own mentions, and those of terminologies (drugs and diseases)."""
    mentions: dict[str, set[str]] = {kind: set() for kind in _KINDS}
    for document in documents:
        for span in document.spans:
            if len(span.types) == 1 and span.types[0] in _KINDS:
                mentions[span.types[0]].add(document.text[span.start : span.end])
    listed = {"medication": lexicon.drugs, "problem": lexicon.diseases}
    return {kind: (sorted(found), listed.get(kind, ())) for kind, found in sorted(mentions.items())}


def replaced(documents: Iterable[Document], names: Names, *, share: float, seed: int) -> list[Document]:
    """The documents with a ``share`` of their different mentions replaced, each by one name throughout its document.

    Abbreviations (capitals alone) and mentions whose type is open stay: the text around them says what they are short for.
    """
    return [_replaced(document, names, share, Random(f"{seed}/{document.id}")) for document in documents]


def _replaced(document: Document, names: Names, share: float, random: Random) -> Document:
    chosen: dict[str, str] = {}
    text, spans = "", list[GoldSpan]()
    places: list[tuple[int, int]] = []  # where an old offset lies in the new text: (old, new), ascending
    last = 0
    for span in document.spans:
        mention = document.text[span.start : span.end]
        key = mention.lower()
        if key not in chosen:
            chosen[key] = _name(mention, span, names, random) if random.random() < share else mention
        name = chosen[key] if not mention.isupper() else mention
        text += document.text[last : span.start]
        places += [(last, len(text) - (span.start - last)), (span.start, len(text))]  # the text before the mention; the mention
        spans.append(GoldSpan(len(text), len(text) + len(name), span.types))
        text += name
        last = span.end
    places.append((last, len(text)))
    text += document.text[last:]
    unknown = tuple((_moved(start, places), _moved(end, places)) for start, end in document.unknown)
    return Document(f"{document.id}-replaced", text, tuple(spans), document.annotated, unknown)


def _name(mention: str, span: GoldSpan, names: Names, random: Random) -> str:
    mentions, listed = names.get(span.types[0], ((), ())) if len(span.types) == 1 else ((), ())
    pool = listed if listed and (not mentions or random.random() < _FROM_LEXICON) else mentions
    if not pool:
        return mention
    name = random.choice(pool)
    if name[1:] != name[1:].lower():  # capitals within belong to the name
        return name
    return name[0].upper() + name[1:] if mention[0].isupper() else name[0].lower() + name[1:]


def _moved(offset: int, places: Sequence[tuple[int, int]]) -> int:
    """Where an old offset lies in the new text; within a replaced mention, no farther than its end."""
    at = max(k for k, (old, _) in enumerate(places) if old <= offset)
    old, new = places[at]
    return new + offset - old if at + 1 == len(places) else min(new + offset - old, places[at + 1][1])
