"""The pure step: ``prepare`` reads who and what a message names, the vault answers with tokens, ``apply`` makes the clean message.

prepared = deidentifier.prepare(content_type, payload)        Poison when it cannot be read
(pseudonyms,) = await vault.resolve([prepared.request])
result = deidentifier.apply(prepared, pseudonyms)             LeakDetected when an identifier survived
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agents.deidentify import fhir, hl7
from agents.deidentify.leak import check_output
from agents.deidentify.policy import Policy, load_policy
from agents.deidentify.pseudonyms import request_of, tokens_of
from agents.deidentify.text.known import Known, compile_known
from agents.deidentify.text.scrub import PhiTagger, Scrubber, apply
from agents.vault.contract import Pseudonyms, VaultRequest
from models.bundle import shelf_bundle
from models.session import Execution
from models.tagger import Tagger
from schemas.clinical import ClinicalMessage, Coverage, Note
from schemas.deidentified import DeidMap, Redaction, SpanMap
from schemas.errors import MalformedMessage, Reason
from schemas.identity import MessageIdentity
from schemas.identity_reader import read_identity
from schemas.message import Parsed, encode, parse, read_clinical, replace_part
from streams.settings import Settings

_ORDINAL = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Prepared:
    """One message read; ``request`` is what it asks of the vault."""

    content_type: str
    parsed: Parsed
    identity: MessageIdentity
    clinical: ClinicalMessage
    request: VaultRequest

    def __repr__(self) -> str:
        return "<Prepared>"


@dataclass(frozen=True, slots=True)
class Deidentified:
    """``redactions`` by path of the note in the clean message, in offsets of the original text."""

    content_type: str
    payload: bytes
    subject: str
    map: DeidMap
    redactions: dict[str, tuple[Redaction, ...]]
    coverage: Coverage


class Deidentifier:
    """Safe to use from several threads at once."""

    def __init__(self, policy: Policy, tagger: PhiTagger | None) -> None:
        self._policy = policy
        self._scrubber = Scrubber(tagger)
        #: Everything that shapes a clean message: the ``deid-policy`` header.
        self.policy_version = f"{policy.version}/{self._scrubber.version}"
        self.model_version = self._scrubber.model_version

    def text(self, text: str, known: Known | None = None) -> tuple[str, tuple[Redaction, ...]]:
        """One bare text by all layers."""
        (redactions,) = self._scrubber.notes([text], known or Known())
        return apply(text, redactions), redactions

    def prepare(self, content_type: str, payload: bytes) -> Prepared:
        """Raises Poison: the payload cannot be read, or names several patients."""
        parsed = parse(content_type, payload)
        identity = read_identity(parsed)
        request = request_of(identity, hashlib.sha256(payload).hexdigest())
        return Prepared(content_type, parsed, identity, read_clinical(parsed), request)

    def apply(self, prepared: Prepared, answer: Pseudonyms) -> Deidentified:
        """The clean message; edits ``prepared`` in place, so that it can be applied once.

        Raises:
            LeakDetected: an identifier of the message stands in the output.
            MalformedMessage: the clean message cannot be written or read again.
        """
        tokens = tokens_of(prepared.identity, answer)
        known = compile_known(prepared.identity)
        notes = prepared.clinical.notes
        redactions = self._scrubber.notes([note.text for note in notes], known)
        redactions = [_cut(found, note) for found, note in zip(redactions, notes, strict=True)]
        if isinstance(prepared.parsed, dict):
            made = fhir.deidentify(prepared.parsed, self._policy, self._scrubber, known, tokens, notes, prepared.clinical.time)
            clean: Parsed = made.resource
            paths = made.paths
            times, received, age, redacted = made.times, made.received, made.age_years, made.redacted
        else:
            done = hl7.deidentify(prepared.parsed, self._policy, self._scrubber, known, tokens, notes)
            clean = prepared.parsed
            paths = {part.path: part.path for note in notes for part in note.parts}
            times, received, age, redacted = done.times, done.received, done.age_years, done.redacted
        spans: dict[str, tuple[SpanMap, ...]] = {}
        by_note: dict[str, tuple[Redaction, ...]] = {}
        # attachments and narratives leave their element when empty; write in reverse so that earlier ordinals stay true
        for note, found in reversed(list(zip(notes, redactions, strict=True))):
            written = _write(clean, note, found, paths)
            if written is not None:
                spans[written] = _span_map(found)
                if found:
                    by_note[written] = found
        check_output(prepared.identity, known, clean)
        payload = encode(clean)
        _check_notes(prepared.content_type, payload, spans)
        return Deidentified(
            prepared.content_type,
            payload,
            tokens.subject,
            DeidMap(notes={path: found for path, found in spans.items() if found}, times=times, received=received, age_years=age),
            by_note,
            Coverage(
                used=prepared.clinical.coverage.used,
                ignored=prepared.clinical.coverage.ignored,
                refused=prepared.clinical.coverage.refused,
                redacted=dict(redacted + _count(notes, redactions)),
            ),
        )


def make_deidentifier(settings: Settings) -> Deidentifier:
    """From settings: policy, and the PHI model of the shelf unless it is switched off. Raises ConfigurationError."""
    models, tagger = settings.models, None
    if settings.deid.use_model:
        provider: Literal["auto", "cpu", "cuda"] = "cuda" if models.execution == "gpu" else models.execution
        execution = Execution(provider=provider, require_gpu=models.execution == "gpu", threads=models.threads)
        tagger = Tagger.load(shelf_bundle(models.phi, models.shelf), execution=execution)
    return Deidentifier(load_policy(settings.deid.profile), tagger)


def _write(clean: Parsed, note: Note, redactions: Sequence[Redaction], paths: dict[str, str]) -> str | None:
    """Put the clean text of each part where the part stands now; returns the note's path there, ``None`` when it was withheld."""
    first: str | None = None
    for part in note.parts:
        where = paths.get(part.path)
        if where is None:
            continue
        own = [r for r in redactions if part.start <= r.start and r.end <= part.end]
        shifted = [
            Redaction(start=r.start - part.start, end=r.end - part.start, type=r.type, method=r.method, replacement=r.replacement)
            for r in own
        ]
        replace_part(clean, where, apply(note.text[part.start : part.end], shifted))
        first = first or where
    return first


def _cut(redactions: Sequence[Redaction], note: Note) -> tuple[Redaction, ...]:
    """A span over a border between parts becomes one span in each part; what lies between parts (line ends) stays."""
    cut: list[Redaction] = []
    for redaction in redactions:
        for part in note.parts:
            start, end = max(redaction.start, part.start), min(redaction.end, part.end)
            if start < end:
                cut.append(
                    redaction
                    if (start, end) == (redaction.start, redaction.end)
                    else Redaction(
                        start=start,
                        end=end,
                        type=redaction.type,
                        method=redaction.method,
                        replacement=redaction.replacement,
                        layer=redaction.layer,
                        rule=redaction.rule,
                        score=redaction.score,
                    )
                )
    return tuple(cut)


def _span_map(redactions: Sequence[Redaction]) -> tuple[SpanMap, ...]:
    spans: list[SpanMap] = []
    delta = 0
    for redaction in redactions:
        start = redaction.start + delta
        end = start + len(redaction.replacement)
        spans.append(SpanMap(redaction.start, redaction.end, start, end, redaction.type))
        delta = end - redaction.end
    return tuple(spans)


def _check_notes(content_type: str, payload: bytes, spans: dict[str, tuple[SpanMap, ...]]) -> None:
    """The output must be readable again, or nothing past this stage could use it."""
    try:
        parse(content_type, payload)
    except MalformedMessage as error:
        raise MalformedMessage(Reason.OUTPUT_INVALID, path=error.path) from None


def _count(notes: Sequence[Note], redactions: Sequence[Sequence[Redaction]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for note, found in zip(notes, redactions, strict=True):
        if found:
            counts[_ORDINAL.sub("", note.path)] += len(found)
    return counts
