"""Why a flag, why an entity: the offline pipeline on message files, told in words. Everything shown is de-identified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from agents.extract.sentences import split_sentences
from agents.offline import Annotated, Offline
from agents.publish.issues import clearing_text, explanation, input_text
from agents.publish.reasons import evidence_of
from models.bundle import shelf_bundle
from models.generator import Generator
from models.reasons import written
from models.saliency import leave_one_out
from models.session import Execution
from models.tagger import Tagger
from ops.messages import read_folder
from schemas.envelope import FHIR_JSON
from schemas.findings import Findings, Mention
from schemas.flags import Flag
from streams.settings import Settings

#: Characters of a sentence that are tried, on each side of the entity's beginning: a text without stops is one sentence, and each word is a
#: row of the batch.
REACH = 400


class Word(msgspec.Struct, frozen=True):
    """``drop``: what the entity's score loses without the word; negative where the word spoke against it. Offsets are in the note."""

    text: str
    drop: float
    start: int
    end: int


class Entity(msgspec.Struct, frozen=True):
    """``words`` of its sentence, the largest drop first; empty where the model does not find the entity in its sentence alone.

    ``score`` is the model's in the sentence alone, from which the drops are taken.
    """

    text: str
    type: str
    sentence: str
    words: tuple[Word, ...]
    id: str
    note: str
    start: int
    end: int
    score: float | None = None


class ToldFlag(msgspec.Struct, frozen=True):
    """``explanation`` is the template's, parts between ``|``; ``evidence`` and ``clearings`` are those of ``flag.basis`` in words.

    ``in_words``: there where a model was asked for it; ``None`` where nothing was written that the evidence holds.
    """

    type: str
    explanation: str
    evidence: tuple[str, ...]
    clearings: tuple[str, ...]
    flag: Flag
    in_words: str | msgspec.UnsetType | None = msgspec.UNSET


class Told(msgspec.Struct, frozen=True):
    """``outcomes`` by rule id: what each rule came to, also those that raised nothing."""

    file: str
    flags: tuple[ToldFlag, ...]
    entities: tuple[Entity, ...]
    outcomes: dict[str, str]


def explain(
    offline: Offline,
    files: list[Path],
    *,
    flag: str = "",
    entity: str = "",
    tagger: Tagger | None = None,
    generator: Generator | None = None,
) -> Iterator[Told]:
    """One answer a message, in order; messages of one patient see each other's facts, as they do on the stream.

    Args:
        flag: this type or rule only.
        entity: mentions that hold this word, in any case; needs ``tagger``.
        generator: also writes each flag's reason as a sentence, shown only where the check against the evidence accepts it.

    Raises:
        Poison: a message cannot be read or must not pass.
    """
    for file in files:
        for annotated in read_file(offline, file):
            found = tuple(_entities(annotated, entity, tagger)) if entity and tagger is not None else ()
            yield Told(file.name, told_flags(annotated, flag, generator), found, annotated.decision.evaluated)


def told_flags(annotated: Annotated, name: str, generator: Generator | None = None) -> tuple[ToldFlag, ...]:
    """The message's flags whose type, rule or id is ``name`` (all for none); ``generator`` as in ``explain``."""
    return tuple(
        _told(flag, annotated, generator) for flag in annotated.decision.flags if name in ("", flag.type, flag.rule.id, flag.id)
    )


def _told(flag: Flag, annotated: Annotated, generator: Generator | None) -> ToldFlag:
    notes = {note.sha256: note.text for note in annotated.findings.notes}
    quotes = [notes[span.sha256][span.start : span.end] for span in flag.basis.text_spans if span.sha256 in notes]
    return ToldFlag(
        flag.type,
        explanation(flag),
        (*map(input_text, flag.basis.inputs), *quotes),
        tuple(map(clearing_text, flag.basis.clearings)),
        flag,
        msgspec.UNSET if generator is None else _in_words(flag, annotated, generator),
    )


def _in_words(flag: Flag, annotated: Annotated, generator: Generator) -> str | None:
    evidence = evidence_of(flag, annotated.findings.notes)
    return None if evidence is None else written(evidence, generator)


def read_file(offline: Offline, file: Path) -> Iterator[Annotated]:
    """Each message of one file, or its one text. Raises Poison as ``explain``."""
    if file.suffix.lower() == ".txt":
        yield offline.decide(offline.read_text(file.read_text("utf-8")))
    for message in read_folder(file):
        payloads = message.payload.splitlines() if message.format == "ndjson" else [message.payload]
        for payload in payloads:
            if payload.strip():
                kind = FHIR_JSON if message.format == "ndjson" else message.content_type
                yield offline.decide(offline.read_message(kind, payload))


def _entities(annotated: Annotated, word: str, tagger: Tagger) -> Iterator[Entity]:
    for mention in annotated.findings.mentions:
        if word.lower() in mention.text.lower():
            yield told_entity(annotated.findings, mention, tagger)


def told_entity(findings: Findings, mention: Mention, tagger: Tagger) -> Entity:
    """Which words of its sentence the mention rests on; one call of the model, a row for each word."""
    text = next(note.text for note in findings.notes if note.path == mention.note)
    start, end = _around(text, mention)
    sentence = text[start:end]
    spans = [s for s in tagger.tag(sentence) if s.start < mention.end - start and mention.start - start < s.end]
    drops = leave_one_out(tagger, sentence, spans[0]) if spans else ()
    words = tuple(Word(sentence[d.start : d.end], d.drop, start + d.start, start + d.end) for d in drops)
    return Entity(
        mention.text,
        mention.type,
        sentence,
        words,
        mention.id,
        mention.note,
        mention.start,
        mention.end,
        spans[0].score if spans else None,
    )


def _around(text: str, mention: Mention) -> tuple[int, int]:
    """The mention's sentence, or of a very long one what is within ``REACH``."""
    start, end = next(
        ((s.start, s.end) for s in split_sentences(text) if s.start <= mention.start and mention.end <= s.end),
        (mention.start, mention.end),
    )
    first, last = max(start, mention.start - REACH), min(end, mention.start + REACH)
    if first > start:
        first = text.find(" ", first, mention.start) + 1 or first
    if last < end:
        last = max(text.rfind(" ", mention.end, last), min(mention.end, last))
    return first, last


def entity_tagger(settings: Settings) -> Tagger:
    """The model of entities, on the CPU. Raises ConfigurationError."""
    chosen = settings.models
    execution = Execution("cpu", False, chosen.threads)
    return Tagger.load(shelf_bundle(chosen.entities, chosen.shelf), execution=execution, trusted_keys=chosen.trusted_keys)


def flag_writer(settings: Settings) -> Generator:
    """The model that writes a flag's reason, on the CPU. Raises ConfigurationError."""
    chosen = settings.models
    execution = Execution("cpu", False, 1)
    return Generator.load(shelf_bundle(chosen.explanations, chosen.shelf), execution=execution, trusted_keys=chosen.trusted_keys)
