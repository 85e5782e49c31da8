"""The one error tree; the class decides what the stream does with a record.

    WardstreamError
    |- Retryable            back off and try again; the offset does not move
    |  |- BrokerUnavailable, StoreUnavailable, ModelBusy, ReceiverUnavailable
    |- Poison               to the dead-letter topic with a closed reason code
    |  |- MalformedMessage  the payload cannot be read
    |  |- UnsupportedContent  readable, but nothing here handles it
    |  |- SchemaMismatch    one of our own records in a shape that this version does not know
    |  |- LeakDetected      an identifier survived de-identification: quarantined, never published
    |- PrivacyViolation     halt: data stands where it must not; the process ends without acknowledging
    |- ConfigurationError   refuse to start

An error carries a code and, where it helps, a path such as ``PID-3`` or ``Observation.subject``. It never carries a
value: error texts reach logs, headers and the sender's screen.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Closed list of reason codes: dead-letter headers, metric labels, HTTP and HL7 answers use nothing else."""

    MALFORMED_HL7 = "malformed_hl7"
    MALFORMED_FHIR = "malformed_fhir"
    MALFORMED_JSON = "malformed_json"
    UNDECODABLE_CHARSET = "undecodable_charset"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    UNSUPPORTED_MESSAGE_TYPE = "unsupported_message_type"
    UNSUPPORTED_RESOURCE = "unsupported_resource"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNSUPPORTED_PROCESSING_ID = "unsupported_processing_id"
    MISSING_CONTROL_ID = "missing_control_id"
    MISSING_PATIENT = "missing_patient"
    DUPLICATE_CONTROL_ID = "duplicate_control_id"
    BATCH_COUNT_MISMATCH = "batch_count_mismatch"
    SCHEMA_MISMATCH = "schema_mismatch"
    CLASSIFICATION_REFUSED = "classification_refused"
    LEAK_DETECTED = "leak_detected"
    OUTPUT_INVALID = "output_invalid"
    BROKER_UNAVAILABLE = "broker_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    MODEL_BUSY = "model_busy"
    RECEIVER_UNAVAILABLE = "receiver_unavailable"
    RECEIVER_REFUSED = "receiver_refused"
    PAYLOAD_ERASED = "payload_erased"
    PAYLOAD_KEY_LOST = "payload_key_lost"
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a pseudonym token, not a secret
    CONFIGURATION = "configuration"
    UNEXPECTED = "unexpected"


class WardstreamError(Exception):
    """Base of all errors raised on purpose.

    Args:
        reason: closed reason code.
        path: where in the message or configuration (``OBX[2]-5``, ``Bundle.entry[3]``); structure only, no values.
        detail: fixed explanatory text for people; must not be built from message content.
    """

    default_reason = Reason.UNEXPECTED

    def __init__(self, reason: Reason | None = None, *, path: str | None = None, detail: str | None = None) -> None:
        self.reason = reason or self.default_reason
        self.path = path
        self.detail = detail
        super().__init__(": ".join(part for part in (self.reason.value, path, detail) if part))


class Retryable(WardstreamError):
    """The record may succeed later: back off, keep the offset."""


class BrokerUnavailable(Retryable):
    default_reason = Reason.BROKER_UNAVAILABLE


class StoreUnavailable(Retryable):
    default_reason = Reason.STORE_UNAVAILABLE


class ModelBusy(Retryable):
    default_reason = Reason.MODEL_BUSY


class ReceiverUnavailable(Retryable):
    default_reason = Reason.RECEIVER_UNAVAILABLE


class Poison(WardstreamError):
    """The record can never succeed as it is: dead letter."""


class MalformedMessage(Poison):
    default_reason = Reason.MALFORMED_HL7


class UnsupportedContent(Poison):
    default_reason = Reason.UNSUPPORTED_CONTENT_TYPE


class SchemaMismatch(Poison):
    default_reason = Reason.SCHEMA_MISMATCH


class LeakDetected(Poison):
    """Quarantine: the raw record goes to the ``phi.*`` dead-letter topic, nothing is published."""

    default_reason = Reason.LEAK_DETECTED


class PrivacyViolation(WardstreamError):
    """Data of a class that this process may not read, or that stands where it must not: halt."""

    default_reason = Reason.CLASSIFICATION_REFUSED


class ConfigurationError(WardstreamError):
    """Refuse to start; ``path`` names the setting or file."""

    default_reason = Reason.CONFIGURATION
