"""The one topic table. ``<phi|deid|train|ops>.<noun>.<state>.v<N>``; the first word is the unit of ACLs, retention, encryption.

A dead-letter topic is ``<topic>.dlq`` and inherits class and partitions. ``wardstream topics apply`` creates what stands here;
the AsyncAPI document in ``docs/reference`` is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.envelope import FHIR_JSON, HL7_V2, JSON, DataClass

DAY = 86_400_000
#: More partitions than workers ever needed at one site; raising it later breaks per-patient order, so it starts wide.
PARTITIONS = 8

RECEIVED = "phi.message.received.v1"
READY = "deid.message.ready.v1"
MERGED = "deid.patient.merged.v1"
EXTRACTED = "deid.findings.extracted.v1"
RAISED = "deid.flag.raised.v1"
BUNDLE = "deid.bundle.published.v1"
RESULT = "phi.result.published.v1"
SAMPLE = "train.sample.proposed.v1"
LABEL = "train.label.reviewed.v1"
FEEDBACK = "train.feedback.recorded.v1"
MODEL = "ops.model.released.v1"
AUDIT = "ops.audit.recorded.v1"
ERASURE = "ops.erasure.requested.v1"
HANDLED = "ops.letter.handled.v1"
DRIFT = "ops.drift.detected.v1"
RUN = "train.run.recorded.v1"
JUDGED = "train.model.judged.v1"


@dataclass(frozen=True, slots=True)
class Topic:
    """``retention_ms`` -1 is for ever; ``key`` says what the record key is (never an identifier in clear). A record of a topic that is compacted
    is erased by one without a value under its key."""

    name: str
    content_types: tuple[str, ...]
    key: str
    summary: str
    retention_ms: int = 14 * DAY
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"
    partitions: int = PARTITIONS
    dead_letters: bool = True

    @property
    def data_class(self) -> DataClass:
        return DataClass.RESTRICTED if self.name.startswith("phi.") else DataClass.INTERNAL

    @property
    def event_type(self) -> str:
        """``ce_type``: the name without its classification word and version."""
        return "org.wardstream." + ".".join(self.name.split(".")[1:-1])


TOPICS: tuple[Topic, ...] = (
    Topic(RECEIVED, (HL7_V2, FHIR_JSON), "keyed hash of the patient identifier", "native messages as received", 7 * DAY),
    Topic(READY, (HL7_V2, FHIR_JSON), "patient token", "the same messages, de-identified"),
    Topic(MERGED, (JSON,), "retired patient token", "two tokens that are one patient (A40 and its kin)", -1, "compact"),
    Topic(EXTRACTED, (JSON,), "patient token", "notes, mentions, relations and facts of one message"),
    Topic(RAISED, (JSON,), "patient token", "findings with the flags that they raised"),
    Topic(BUNDLE, (FHIR_JSON,), "patient token", "pseudonymous result Bundles for analytics"),
    Topic(RESULT, (FHIR_JSON, HL7_V2), "patient token", "re-identified results for the EHR; audited", 7 * DAY),
    Topic(SAMPLE, (JSON,), "sample id", "de-identified samples proposed for review", 90 * DAY, "compact,delete"),
    Topic(LABEL, (JSON,), "label id", "reviewed labels", -1, "compact", dead_letters=False),
    Topic(FEEDBACK, (JSON,), "card", "what became of CDS Hooks cards: weak labels", 400 * DAY),
    Topic(MODEL, (JSON,), "model name", "released model bundles by digest", -1, "compact", 1, dead_letters=False),
    Topic(AUDIT, (JSON,), "patient token", "who was told what; at least six years (45 CFR 164.316(b)(2))", 2200 * DAY,
          dead_letters=False),
    Topic(ERASURE, (JSON,), "patient token", "erasure requests by token", -1, dead_letters=False),
    Topic(HANDLED, (JSON,), "place of the dead letter", "dead letters that people put back or aside", 30 * DAY, "compact,delete", 1,
          dead_letters=False),
    Topic(DRIFT, (JSON,), "record id", "drift of a sender's or department's messages: begun, ended", 400 * DAY, "delete", 1, dead_letters=False),
    Topic(RUN, (JSON,), "run id", "retraining runs: why they began, what they learned from, what became of them", -1, "compact", 1,
          dead_letters=False),
    Topic(JUDGED, (JSON,), "challenger's digest", "signed verdicts of the gate", -1, "compact", 1, dead_letters=False),
)  # fmt: skip

BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}


def dead_letter(topic: str) -> str:
    return f"{topic}.dlq"
