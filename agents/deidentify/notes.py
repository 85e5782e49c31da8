"""Notes of either format: scrubbed as whole texts, written back leaf by leaf, and the map from the clean note to the original one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from agents.deidentify.replacements import Replacements
from agents.deidentify.surrogates import Surrogates
from agents.deidentify.text.known import Known
from agents.deidentify.text.scrub import find, replace, span_maps
from agents.deidentify.text.spans import Found
from schemas.clinical import Note
from schemas.deidentified import Redaction, SpanMap
from schemas.message import Parsed, replace_part

Guesses = Mapping[str, Sequence[Found]]


@dataclass(slots=True)
class Scrubbed:
    """``leaves``: leaf path -> what was replaced in it, in offsets of the leaf; ``handled`` leaves hold clean text already."""

    leaves: dict[str, tuple[Redaction, ...]] = field(default_factory=dict)
    handled: set[str] = field(default_factory=set)
    redactions: dict[str, tuple[Redaction, ...]] = field(default_factory=dict)


def scrub_notes(
    parsed: Parsed,
    notes: Sequence[Note],
    known: Known,
    guesses: Guesses,
    oldest_year: int,
    replacements: Replacements,
    surrogates: Surrogates,
) -> Scrubbed:
    """Rewrite the notes in place. A span over the border of two parts is cut, each side gets its tag.

    What was not plain text becomes plain text in any case: markup can hide what a reader does not show.
    """
    done = Scrubbed()
    for note in notes:
        redactions = replacements(
            note.text, find(note.text, known, guesses.get(note.text, ()), oldest_year=oldest_year), oldest_year, surrogates
        )
        whole: list[Redaction] = []
        for part in note.parts:
            text = note.text[part.start : part.end]
            cut = tuple(
                _cut(redaction, part.start, part.end) for redaction in redactions if _overlaps(redaction, part.start, part.end)
            )
            if cut or note.format != "plain" or part.path.endswith((".data", "-5.5")):
                replace_part(parsed, part.path, replace(text, cut))
            if cut:
                done.leaves[part.path] = cut
                whole += [_shift(redaction, part.start) for redaction in cut]
            done.handled.add(part.path)
        if whole:
            done.redactions[note.path] = tuple(whole)
    return done


def map_notes(notes: Sequence[Note], leaves: Mapping[str, tuple[Redaction, ...]]) -> dict[str, tuple[SpanMap, ...]]:
    """Spans of every clean note, from those of its leaves; notes without a replacement are not listed: offsets are equal."""
    maps: dict[str, tuple[SpanMap, ...]] = {}
    for note in notes:
        spans: list[SpanMap] = []
        growth = 0
        for part in note.parts:
            found = leaves.get(part.path, ())
            spans += span_maps(found, original=part.start - growth, clean=part.start)
            growth += sum(len(r.replacement) - (r.end - r.start) for r in found)
        if spans:
            maps[note.path] = tuple(spans)
    return maps


def _overlaps(redaction: Redaction, start: int, end: int) -> bool:
    return redaction.start < end and redaction.end > start


def _cut(redaction: Redaction, start: int, end: int) -> Redaction:
    return msgspec.structs.replace(redaction, start=max(redaction.start, start) - start, end=min(redaction.end, end) - start)


def _shift(redaction: Redaction, by: int) -> Redaction:
    return msgspec.structs.replace(redaction, start=redaction.start + by, end=redaction.end + by)
