"""Mentions and relations of one note: the tagger's spans and the rules' united, asserted, placed in sections, mapped back."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

from msgspec import structs

from agents.extract import rules
from agents.extract.allergy_lists import entries
from agents.extract.assertion import Target, assert_all
from agents.extract.expansions import definitions, expand
from agents.extract.laterality import joined, side_of
from agents.extract.onsets import onsets
from agents.extract.periods import iso_duration
from agents.extract.relations import relate
from agents.extract.relatives import relatives
from agents.extract.rules import ATTRIBUTES, Span
from agents.extract.sections import OTHER, Section, layout, section_at
from agents.extract.sentences import Sentence
from schemas.deidentified import SpanMap, to_original
from schemas.findings import MENTION_TYPES, Assertion, Laterality, Mention, MentionType, Offsets, Onset, Relation
from schemas.ids import derived_id

STAGE = "extract"
#: What de-identification left in place of an identifier ("[NAME]", "[DATE-2]", "**NAME[AAA]"): never clinical content.
_TAG = re.compile(r"\[[A-Z][A-Z_]{1,30}(?:[ _-]?\d{1,6})?\]|\*\*[A-Z][A-Z-]{1,30}(?:\[[^\]\n]{0,60}\])?")
#: SNOMED CT's semantic tag behind a fully specified name, as generated notes carry it: "sprain of ankle (disorder)".
_SEMANTIC_TAG = re.compile(
    r"\((?:disorder|finding|procedure|situation|event|substance|product|body structure|morphologic abnormality|regime/therapy|"
    r"observable entity|physical object|organism|person|qualifier value)\)"
)
_EDGE = " \t\r\n,;:.•*\"'"
_GIVEN = "given"
#: Parts of a statement: the assertion stands at its head.
_PLAIN = ATTRIBUTES | {"value"}
_SIDED: frozenset[MentionType] = frozenset({"problem", "finding", "procedure", "anatomy"})
#: Where pain goes to is not where it is.
_RADIATES = re.compile(r"\b(?:radiat|spread|shoot)", re.I)


class TaggedSpan(Protocol):
    """A span of a tagger: offsets in code points, end exclusive; ``label`` one of its labels; ``score`` 0 to 1."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def score(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """What a mention's id depends on besides its place: the message and the versions that made it."""

    id: str
    policy: str
    version: str

    def make(self, *ordinal: object) -> str:
        return derived_id(self.id, STAGE, policy=self.policy, model=self.version, ordinal=":".join(map(str, ordinal)))


#: Words of the chart itself that a small model takes for findings beside the tags of de-identification; never a mention alone.
CHART_WORDS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "dr",
        "md",
        "rn",
        "np",
        "pa",
        "pt",
        "pts",
        "patient",
        "patients",
        "mrn",
        "dob",
        "ssn",
        "name",
        "age",
        "date",
        "sex",
        "acct",
        "id",
        "hx",
        "fhx",
        "shx",
        "pmh",
        "psh",
        "meds",
        "med",
        "rx",
        "dx",
        "tx",
        "sx",
        "hpi",
        "ros",
        "cc",
        "pcp",
        "y/o",
        "y/o",
        "f",
        "y/o",
        "m",
        "yo",
        "f",
        "m",
        "w",
        "w/",
        "s",
        "p/w",
        "c/o",
        "s/p",
        "o",
        "r/o",
        "male",
        "female",
        "man",
        "woman",
        "gentleman",
        "lady",
        "boy",
        "girl",
        "he",
        "she",
        "his",
        "her",
    ]
) | {"y/o f", "y/o m", "y/o female", "y/o male"}


@dataclass(frozen=True, slots=True)
class NoteResult:
    mentions: tuple[Mention, ...]
    relations: tuple[Relation, ...]


def read_note(
    path: str, text: str, tagged: Sequence[TaggedSpan], *, source: str, origin: Origin, replaced: tuple[SpanMap, ...] = ()
) -> NoteResult:
    """Mentions and relations of one clean note, in text order.

    Args:
        tagged: the entity model's spans over ``text``; labels that are no mention type are ignored.
        source: the model's version, written into each of its mentions.
        replaced: where replacements stand in ``text``; no mention overlaps one.
    """
    sections, sentences = layout(text)
    forbidden = _forbidden(text, replaced)
    tagging = (
        Span(span.start, span.end, kind, round(span.score, 4), source)
        for span in tagged
        if (kind := span.label.lower()) in MENTION_TYPES
    )
    model = [
        replace(part, start=start, end=end)
        for span in tagging
        for part in (entries(text, span) if _is_allergen(sections, span) else (span,))
        for start, end in _trimmed(text, part.start, part.end, forbidden)
        if not _is_heading(sections, start, end) and text[start:end].casefold() not in CHART_WORDS
    ]
    trimmed = set(model)
    found: list[Span] = []
    for span in rules.unite(model, _rule_spans(text, model, sections, sentences)):
        if span in trimmed:
            found.append(span)
        else:
            found.extend(replace(span, start=a, end=b) for a, b in _trimmed(text, span.start, span.end, forbidden))
    return _finish(path, text, found, sections, sentences, origin=origin, replaced=replaced)


def read_given(
    path: str, text: str, given: Sequence[tuple[int, int, str]], *, origin: Origin, replaced: tuple[SpanMap, ...] = ()
) -> NoteResult:
    """The given spans, asserted and placed; nothing is searched for and none is moved or dropped."""
    sections, sentences = layout(text)
    spans = [Span(start, end, cast(MentionType, kind), 1.0, _GIVEN) for start, end, kind in given]
    return _finish(path, text, spans, sections, sentences, origin=origin, replaced=replaced)


def _rule_spans(text: str, model: list[Span], sections: tuple[Section, ...], sentences: tuple[Sentence, ...]) -> list[Span]:
    starts = [sentence.start for sentence in sentences]
    drugs = {_index(starts, span.start) for span in model if span.type == "medication"}
    found: list[Span] = []
    for index, sentence in enumerate(sentences):
        named = index in drugs or section_at(sections, sentence.start).name == "medications"
        found.extend(rules.find(text, sentence.start, sentence.end, drugs=named))
    return found


def _finish(
    path: str,
    text: str,
    spans: list[Span],
    sections: tuple[Section, ...],
    sentences: tuple[Sentence, ...],
    *,
    origin: Origin,
    replaced: tuple[SpanMap, ...],
) -> NoteResult:
    asserted = [span for span in spans if span.type not in _PLAIN or span.source == _GIVEN]
    assertions = dict(
        zip(asserted, assert_all(text, [Target(s.start, s.end, s.type) for s in asserted], sentences, sections), strict=True)
    )
    defined = definitions(text)
    starts = [sentence.start for sentence in sentences]

    def kin(span: Span) -> tuple[str, ...]:
        if span not in assertions or not assertions[span].family or not sentences:
            return ()
        sentence = sentences[_index(starts, span.start)]
        return relatives(text, span.start, span.end, (sentence.start, sentence.end))

    mentions = [
        Mention(
            id=origin.make(path, span.start, span.end, span.type),
            note=path,
            start=span.start,
            end=span.end,
            text=text[span.start : span.end],
            type=span.type,
            score=span.score,
            source=span.source,
            assertion=assertions.get(span, Assertion()),
            section=section_at(sections, span.start).name,
            codes=span.codes,
            original=Offsets(*to_original(replaced, span.start, span.end)),
            expansion=expand(text, span.start, span.end, section_at(sections, span.start).name, defined),
            relatives=kin(span),
            period=iso_duration(text[span.start : span.end]) if span.type == "duration" else "",
        )
        for span in spans
    ]
    rows: dict[int, list[Mention]] = {}
    for mention in sorted(mentions, key=lambda m: (m.start, m.end)):
        rows.setdefault(_index(starts, mention.start), []).append(mention)
    relations = [
        relation
        for index, row in rows.items()
        for relation in relate(
            text,
            row,
            origin.make,
            start=sentences[index].start if sentences else 0,
            end=sentences[index].end if sentences else len(text),
        )
    ]
    since = {
        name: onset
        for index, row in rows.items()
        for name, onset in onsets(text, row, sentences[index].end if sentences else len(text)).items()
    }
    forbidden = _forbidden(text, replaced)
    sides = _sides(text, mentions, relations)
    placed = [
        structs.replace(m, laterality=sides.get(m.id, ""), onset=_marked(since.get(m.id), forbidden))
        if m.id in sides or m.id in since
        else m
        for m in mentions
    ]
    return NoteResult(tuple(placed), tuple(relations))


def _sides(text: str, mentions: Sequence[Mention], relations: Sequence[Relation]) -> dict[str, Laterality]:
    """Side by mention id. A finding without a side of its own has that of its body sites, unless it only radiates there."""
    by_id = {m.id: m for m in mentions}
    own = {m.id: side_of(text, m.start, m.end) for m in mentions if m.type in _SIDED}
    sides = dict(own)
    tied: dict[str, list[Laterality]] = {}
    for relation in relations:
        if relation.type == "finding-body_site" and not own.get(relation.head):
            head, tail = by_id[relation.head], by_id[relation.tail]
            if not _RADIATES.search(text, min(head.end, tail.start), tail.start):
                tied.setdefault(head.id, []).append(own[tail.id])
    sides.update({name: joined(found) for name, found in tied.items()})
    return {name: side for name, side in sides.items() if side}


def _marked(onset: Onset | None, forbidden: list[tuple[int, int]]) -> Onset | None:
    if onset is None:
        return None
    return structs.replace(onset, replaced=any(a < onset.end and onset.start < b for a, b in forbidden))


def _is_allergen(sections: tuple[Section, ...], span: Span) -> bool:
    return span.type == "medication" and section_at(sections, span.start).name == "allergies"


def _is_heading(sections: tuple[Section, ...], start: int, end: int) -> bool:
    """Whether the span is part of a known heading ("MEDICATIONS"); "CT:" and unknown headings ("GOUT:") may be content."""
    section = section_at(sections, start)
    return end <= section.body and section.name not in ("", OTHER, "imaging")


def _index(starts: list[int], offset: int) -> int:
    return max(0, bisect_right(starts, offset) - 1)


def _forbidden(text: str, replaced: tuple[SpanMap, ...]) -> list[tuple[int, int]]:
    """Where replacements and semantic tags stand, merged, in order."""
    merged: list[tuple[int, int]] = []
    spans = [(s.clean_start, s.clean_end) for s in replaced if s.clean_end > s.clean_start]
    for a, b in sorted([*spans, *(m.span() for mark in (_TAG, _SEMANTIC_TAG) for m in mark.finditer(text))]):
        if merged and a < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    return merged


def _trimmed(text: str, start: int, end: int, forbidden: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The span without replacements and signs at its edges; nothing if a replacement stands inside or no letter is left."""
    for at in range(bisect_right(forbidden, start, key=lambda span: span[1]), len(forbidden)):
        a, b = forbidden[at]
        if a >= end:
            break
        if a <= start:
            start = min(b, end)
        elif b >= end:
            end = a
        else:
            return []
    while start < end and text[start] in _EDGE:
        start += 1
    while start < end and text[end - 1] in _EDGE and not (text[end - 1] == "." and "." in text[start : end - 1]):
        end -= 1
    named = start < end and (text[start].isalnum() or any(c.isalnum() for c in text[start + 1 : end]))
    return [(start, end)] if named else []
