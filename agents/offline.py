"""The pure steps of the pipeline in one process: no Kafka, no Redis. ``wardstream annotate`` and the benchmarks run this.

The vault and the patient contexts live in memory for as long as the object does: messages of one patient that pass through
one object share a token, a clock and a context, as they would on the stream.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agents.decide.context import PatientContext
from agents.decide.step import make_decider
from agents.deidentify.step import make_deidentifier
from agents.extract.step import make_extractor
from agents.vault.memory import MemoryVault
from schemas.deidentified import Redaction, SpanMap
from schemas.findings import Findings, Versions
from schemas.flags import Decision
from schemas.ids import source_id
from streams.settings import Settings

TEXT_PATH = "text"


@dataclass(frozen=True, slots=True)
class GivenMention:
    """A span that the caller marked in clean text, to be asserted and coded only."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Read:
    """One input after de-identification and extraction; ``redactions`` by note path, in offsets of the original."""

    clean_key: Literal["text", "message"]
    clean: str
    redactions: dict[str, tuple[Redaction, ...]]
    findings: Findings


@dataclass(frozen=True, slots=True)
class Annotated:
    clean_key: Literal["text", "message"]
    clean: str
    redactions: dict[str, tuple[Redaction, ...]]
    findings: Findings
    decision: Decision

    @property
    def versions(self) -> Versions:
        return self.decision.findings.versions


class Offline:
    """``read_text`` and ``read_message`` may run in several threads; ``decide`` in one thread, in stream order."""

    def __init__(self, settings: Settings, *, seed: int | None = None) -> None:
        self._deidentifier = make_deidentifier(settings)
        self._extractor = make_extractor(settings)
        self._decider = make_decider(settings)
        self._vault = MemoryVault(seed=seed)
        self._contexts: dict[str, PatientContext] = {}

    def apart(self) -> Offline:
        """The same steps and models with a vault and contexts of its own, for a caller whose messages must meet no other's; cheap."""
        other = copy.copy(self)
        other._vault = MemoryVault()
        other._contexts = {}
        return other

    def read_text(self, text: str, *, clean: bool = False, given: Sequence[GivenMention] | None = None) -> Read:
        """One bare text; ``clean`` skips de-identification, ``given`` replaces extraction by the given spans."""
        cleaned, redactions = (text, ()) if clean else self._deidentifier.text(text)
        findings = self._extractor.extract_text(
            TEXT_PATH,
            cleaned,
            origin=source_id("text", hashlib.sha256(text.encode()).hexdigest()),
            policy=self._deidentifier.policy_version,
            spans=span_map(redactions),
            given=None if given is None else [(mention.start, mention.end, mention.type) for mention in given],
        )
        return Read("text", cleaned, {TEXT_PATH: redactions} if redactions else {}, findings)

    def read_message(self, content_type: str, payload: bytes) -> Read:
        """One HL7 v2 or FHIR message; raises ``Poison`` for what cannot be read or must not pass."""
        prepared = self._deidentifier.prepare(content_type, payload)
        (pseudonyms,) = asyncio.run(self._vault.resolve([prepared.request]))
        result = self._deidentifier.apply(prepared, pseudonyms)
        origin = source_id("message", hashlib.sha256(payload).hexdigest())
        findings = self._extractor.extract(
            result.content_type,
            result.payload,
            id=origin,
            origin=origin,
            subject=result.subject,
            time="",
            policy=self._deidentifier.policy_version,
            deid_map=result.map,
        )
        return Read("message", result.payload.decode(), result.redactions, findings)

    def decide(self, read: Read) -> Annotated:
        """Rules in the patient's context so far; a bare text has a context of its own."""
        subject = read.findings.subject
        decision, context = self._decider.decide(read.findings, self._contexts.get(subject, PatientContext()))
        if subject:
            self._contexts[subject] = context
        return Annotated(read.clean_key, read.clean, read.redactions, read.findings, decision)


def span_map(redactions: Sequence[Redaction]) -> tuple[SpanMap, ...]:
    """Where each replacement stands in the clean text, from redactions in text order."""
    spans: list[SpanMap] = []
    delta = 0
    for redaction in redactions:
        start = redaction.start + delta
        end = start + len(redaction.replacement)
        spans.append(SpanMap(redaction.start, redaction.end, start, end, redaction.type))
        delta = end - redaction.end
    return tuple(spans)
