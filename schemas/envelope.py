"""CloudEvents 1.0, Kafka binding, binary mode: attributes are headers, the value is the bare native payload.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
The data-classification extension is a fail-closed check: a consumer that may not read the class must refuse.
No header ever holds an identifier: ids are UUIDs or keyed tokens, the subject is a patient token.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from schemas.errors import MalformedMessage, PrivacyViolation, Reason

Headers = tuple[tuple[str, bytes], ...]

HL7_V2 = "x-application/hl7-v2+er7"
FHIR_JSON = "application/fhir+json"
JSON = "application/json"

#: Every header name that this system writes; nothing else goes on the wire.
CONTENT_TYPE = "content-type"
DEID_POLICY = "deid-policy"
DEID_MAP = "deid-map"
MODEL_VERSION = "model-version"
TRACEPARENT = "traceparent"
#: How the value is sealed (``streams.sealing``); absent where it is not.
PAYLOAD_SEAL = "payload-seal"


class DataClass(StrEnum):
    """``ce_dataclassification``: ``restricted`` may hold identifiers, ``internal`` is de-identified."""

    RESTRICTED = "restricted"
    INTERNAL = "internal"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of one record.

    Attributes:
        id: deterministic UUIDv5 of this record.
        source: URI-reference of the producer, e.g. ``/mllp`` or ``/agents/extract``; no facility name in clear.
        type: reverse-DNS event type, the topic name without the classification word.
        time: RFC 3339 instant at which the *original* message was received; carried through all stages unchanged,
            so that end-to-end latency is measured from the message's own timestamp.
        subject: patient token, or ``None`` before de-identification.
        origin: ``id`` of the raw message that all derived records go back to.
    """

    id: str
    source: str
    type: str
    time: str
    content_type: str
    data_class: DataClass
    origin: str
    subject: str | None = None
    policy: str | None = None
    model: str | None = None
    deid_map: bytes | None = None
    traceparent: str | None = None
    seal: str | None = None

    def headers(self) -> Headers:
        """The record's Kafka headers in a fixed order (equal envelopes give equal bytes)."""
        rows: list[tuple[str, bytes | str | None]] = [
            ("ce_specversion", "1.0"),
            ("ce_id", self.id),
            ("ce_source", self.source),
            ("ce_type", self.type),
            ("ce_time", self.time),
            ("ce_subject", self.subject),
            ("ce_origin", self.origin),
            ("ce_dataclassification", self.data_class.value),
            ("ce_datacategory", "phi" if self.data_class is DataClass.RESTRICTED else "non-phi"),
            (CONTENT_TYPE, self.content_type),
            (DEID_POLICY, self.policy),
            (MODEL_VERSION, self.model),
            (DEID_MAP, self.deid_map),
            (TRACEPARENT, self.traceparent),
            (PAYLOAD_SEAL, self.seal),
        ]
        return tuple((n, v if isinstance(v, bytes) else v.encode()) for n, v in rows if v is not None)

    def require(self, allowed: DataClass) -> None:
        """Refuse a record of another class than the reader may read.

        Raises:
            PrivacyViolation: the record's classification is not ``allowed``.
        """
        if self.data_class is not allowed:
            raise PrivacyViolation(Reason.CLASSIFICATION_REFUSED, path="ce_dataclassification")


def parse_headers(headers: Sequence[tuple[str, bytes]]) -> Envelope:
    """Read the envelope of a record that one of our own stages wrote.

    Raises:
        MalformedMessage: an attribute that every record must have is missing or not text.
        PrivacyViolation: the classification is missing or unknown (the extension demands refusal).
    """
    found = dict(headers)

    def text(name: str) -> str | None:
        raw = found.get(name)
        if raw is None:
            return None
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise MalformedMessage(Reason.SCHEMA_MISMATCH, path=name) from None

    def required(name: str) -> str:
        value = text(name)
        if not value:
            raise MalformedMessage(Reason.SCHEMA_MISMATCH, path=name)
        return value

    try:
        data_class = DataClass(text("ce_dataclassification") or "")
    except ValueError:
        raise PrivacyViolation(Reason.CLASSIFICATION_REFUSED, path="ce_dataclassification") from None
    return Envelope(
        id=required("ce_id"),
        source=required("ce_source"),
        type=required("ce_type"),
        time=required("ce_time"),
        content_type=required(CONTENT_TYPE),
        data_class=data_class,
        origin=required("ce_origin"),
        subject=text("ce_subject"),
        policy=text(DEID_POLICY),
        model=text(MODEL_VERSION),
        deid_map=found.get(DEID_MAP),
        traceparent=text(TRACEPARENT),
        seal=text(PAYLOAD_SEAL),
    )
