"""Why a flag, why an entity: the offline pipeline on message files, told in words. Everything shown is de-identified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agents.extract.sentences import split_sentences
from agents.offline import Annotated, Offline
from agents.publish.issues import explanation
from agents.publish.reasons import evidence_of
from models.generator import Generator
from models.reasons import written
from models.saliency import leave_one_out
from models.tagger import Tagger
from ops.messages import read_folder
from schemas.envelope import FHIR_JSON
from schemas.findings import Mention
from schemas.flags import Flag


class Word(msgspec.Struct, frozen=True):
    """``drop``: what the entity's score loses without the word; negative where the word spoke against it."""

    text: str
    drop: float


class Entity(msgspec.Struct, frozen=True):
    """``words`` of its sentence, the largest drop first; empty where the model does not find the entity in its sentence alone."""

    text: str
    type: str
    sentence: str
    words: tuple[Word, ...]


class Told(msgspec.Struct, frozen=True):
    """``outcomes`` by rule id: what each rule came to, also those that raised nothing."""

    file: str
    flags: tuple[dict[str, Any], ...]
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
            decision = annotated.decision
            flags = [one for one in decision.flags if flag in ("", one.type, one.rule.id)]
            found = tuple(_entities(annotated, entity, tagger)) if entity and tagger is not None else ()
            told = tuple(
                {"type": one.type, "explanation": explanation(one), "flag": msgspec.to_builtins(one)}
                | ({} if generator is None else {"in_words": _in_words(one, annotated, generator)})
                for one in flags
            )
            yield Told(file.name, told, found, decision.evaluated)


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
    texts = {note.path: note.text for note in annotated.findings.notes}
    for mention in annotated.findings.mentions:
        if word.lower() in mention.text.lower():
            yield _entity(texts[mention.note], mention, tagger)


def _entity(text: str, mention: Mention, tagger: Tagger) -> Entity:
    start, end = next(
        ((s.start, s.end) for s in split_sentences(text) if s.start <= mention.start and mention.end <= s.end),
        (mention.start, mention.end),
    )
    sentence = text[start:end]
    spans = [s for s in tagger.tag(sentence) if s.start < mention.end - start and mention.start - start < s.end]
    drops = leave_one_out(tagger, sentence, spans[0]) if spans else ()
    return Entity(mention.text, mention.type, sentence, tuple(Word(sentence[d.start : d.end], d.drop) for d in drops))
