"""The pure step: one de-identified message in, one ``Findings`` out. No broker, no store, no clock.

The result of a message depends on its bytes, its map and the versions alone, never on what else is in the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from agents.extract.lexicon import lexicon
from agents.extract.linking.linker import Linker
from agents.extract.mentions import NoteResult, Origin, TaggedSpan, read_given, read_note
from agents.extract.patterns import VERSION
from agents.following import execution_of
from models.bundle import shelf_bundle
from models.embedder import Embedder
from models.tagger import Tagger
from schemas.clinical import ClinicalMessage, Fact, Note
from schemas.deidentified import DeidMap, SpanMap
from schemas.errors import Poison
from schemas.findings import Findings, FindingsNote, Mention, Versions
from schemas.hl7.clinical import on_patient_clock
from schemas.message import fact_paths, parse, read_clinical
from streams.settings import Settings


class SpanTagger(Protocol):
    """What the step needs of an entity model (``models.Tagger`` has it)."""

    @property
    def version(self) -> str: ...

    def tag_many(self, texts: Sequence[str]) -> Sequence[Sequence[TaggedSpan]]:
        """Spans per text, same order; each text's result independent of the others."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One de-identified message. ``id`` of the findings to make, ``origin`` of the raw message, ``subject`` the patient token,
    ``time`` the instant of receipt."""

    content_type: str
    payload: bytes
    id: str
    origin: str
    subject: str
    time: str
    policy: str
    deid_map: DeidMap


class Extractor:
    """Safe to use from several threads at once, as far as the tagger is."""

    def __init__(self, tagger: SpanTagger, linker: Linker | None = None) -> None:
        self._tagger = tagger
        self._linker = linker
        #: Everything that shapes a result: model, assertion lexicon, patterns, vocabulary.
        self.version = f"{tagger.version}/assertion-{lexicon().version}/rules-{VERSION}"
        if linker is not None:
            self.version += f"/{linker.version}"

    def extract(
        self,
        content_type: str,
        payload: bytes,
        *,
        id: str,  # noqa: A002 - the field's name in Findings
        origin: str,
        subject: str,
        time: str,
        policy: str,
        deid_map: DeidMap,
    ) -> Findings:
        """Findings of one message. Raises Poison (MalformedMessage, UnsupportedContent) when it cannot be read."""
        (result,) = self.extract_many([Request(content_type, payload, id, origin, subject, time, policy, deid_map)])
        if isinstance(result, Poison):
            raise result
        return result

    def extract_many(self, requests: Sequence[Request]) -> list[Findings | Poison]:
        """One result per request, same order; the notes of all of them go through the model together."""
        read: list[ClinicalMessage | Poison] = [_read(request) for request in requests]
        texts = {note.text: None for message in read if isinstance(message, ClinicalMessage) for note in message.notes}
        tagged = dict(zip(texts, self._tagger.tag_many(list(texts)), strict=True)) if texts else {}
        return [
            message if isinstance(message, Poison) else self._findings(request, message, tagged)
            for request, message in zip(requests, read, strict=True)
        ]

    def extract_text(
        self,
        path: str,
        text: str,
        *,
        origin: str,
        policy: str,
        spans: tuple[SpanMap, ...] = (),
        given: Sequence[tuple[int, int, str]] | None = None,
    ) -> Findings:
        """A bare clean text as a message of one note; ``spans`` lead back to the original, ``given`` as in ``mentions``."""
        result = self._note(path, text, Origin(origin, policy, self.version), spans, given)
        return Findings(
            id=origin,
            origin=origin,
            subject="",
            format="fhir",
            kind="text",
            time="",
            notes=(FindingsNote(path=path, text=text, sha256=_digest(text)),),
            mentions=result.mentions,
            relations=result.relations,
            versions=self._versions(policy),
        )

    def mentions(self, path: str, text: str, given: Sequence[tuple[int, int, str]] | None = None) -> tuple[Mention, ...]:
        """Mentions of one clean text; with ``given`` spans (start, end, type) only those, asserted."""
        return self._note(path, text, Origin(_digest(text), "", self.version), (), given).mentions

    def with_tagger(self, tagger: SpanTagger) -> Extractor:
        """The same with another model; the vocabulary index is shared."""
        return Extractor(tagger, self._linker)

    @property
    def model(self) -> str:
        """The entity model's version alone."""
        return self._tagger.version

    def close(self) -> None:
        """End the model's threads."""
        self._tagger.close()

    def _note(
        self, path: str, text: str, origin: Origin, spans: tuple[SpanMap, ...], given: Sequence[tuple[int, int, str]] | None
    ) -> NoteResult:
        if given is not None:
            return self._coded(text, read_given(path, text, given, origin=origin, replaced=spans))
        (tagged,) = self._tagger.tag_many([text])
        return self._coded(text, read_note(path, text, tagged, source=self._tagger.version, origin=origin, replaced=spans))

    def _coded(self, text: str, result: NoteResult) -> NoteResult:
        if self._linker is None:
            return result
        return NoteResult(self._linker.coded_all(text, result.mentions), result.relations)

    def _findings(self, request: Request, message: ClinicalMessage, tagged: dict[str, Sequence[TaggedSpan]]) -> Findings:
        origin = Origin(request.origin, request.policy, self.version)
        results = [
            self._coded(
                note.text,
                read_note(
                    note.path,
                    note.text,
                    tagged[note.text],
                    source=self._tagger.version,
                    origin=origin,
                    replaced=request.deid_map.notes.get(note.path, ()),
                ),
            )
            for note in message.notes
        ]
        return Findings(
            id=request.id,
            origin=request.origin,
            subject=request.subject,
            format=message.format,
            kind=message.kind,
            time=request.time,
            encounter=message.encounter,
            sender=request.deid_map.sender,
            department=request.deid_map.department,
            elapsed=request.deid_map.received,
            age_years=request.deid_map.age_years,
            sex=message.sex,
            notes=tuple(_note_record(note) for note in message.notes),
            mentions=tuple(mention for result in results for mention in result.mentions),
            relations=tuple(relation for result in results for relation in result.relations),
            facts=message.facts,
            coverage=message.coverage,
            versions=self._versions(request.policy),
        )

    def _versions(self, policy: str) -> Versions:
        return Versions(
            policy=policy,
            phi_model=policy.partition("/")[2],  # the policy's version names the PHI model after a slash, when there was one
            entity_model=self._tagger.version,
            assertion_rules=lexicon().version,
            vocabulary=self._linker.version if self._linker else "",
        )


def _read(request: Request) -> ClinicalMessage | Poison:
    try:
        parsed = parse(request.content_type, request.payload)
        message = read_clinical(parsed)
        paths = fact_paths(parsed)
    except Poison as error:
        return error
    facts = tuple(_on_clock(fact, *paths.get(fact.path, ("", "")), request.deid_map) for fact in message.facts)
    return msgspec.structs.replace(message, facts=facts)


def _on_clock(fact: Fact, time_path: str, version_path: str, deid_map: DeidMap) -> Fact:
    """Its time, and the time in its version, on the patient's own clock: of the calendar only the year may be left."""
    elapsed = deid_map.times.get(time_path, deid_map.received) if fact.elapsed is None else fact.elapsed
    stamp = deid_map.times.get(version_path)
    version = fact.version if stamp is None else on_patient_clock(fact.version, stamp)
    return msgspec.structs.replace(fact, elapsed=elapsed, version=version)


def _note_record(note: Note) -> FindingsNote:
    return FindingsNote(path=note.path, text=note.text, sha256=_digest(note.text), codes=note.codes, author=note.author)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def make_extractor(settings: Settings) -> Extractor:
    """The extractor with the entity model and the vocabulary index that the settings name. Raises ConfigurationError when one cannot be
    loaded; without a named index mentions stay unlinked."""
    chosen, vocabularies = settings.models, settings.vocabularies
    linker = None
    if vocabularies.index is not None:
        encoder = None if vocabularies.encoder is None else Embedder.load(vocabularies.encoder, trusted_keys=chosen.trusted_keys)
        linker = Linker.load(vocabularies.index, vocabularies.threshold, encoder)
    return Extractor(
        Tagger.load(
            shelf_bundle(chosen.entities, chosen.shelf), execution=execution_of(chosen), trusted_keys=chosen.trusted_keys
        ),
        linker,
    )
