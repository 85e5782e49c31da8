"""The audit entry of a result that goes to somebody: one row of ``ops.audit.recorded.v1`` for each record and recipient."""

from __future__ import annotations

import msgspec

from schemas.audit import AuditEntry
from schemas.envelope import JSON, Envelope
from schemas.ids import derived_id
from streams import topics
from streams.record import Output, Record


def disclosed(stage: str, record: Record, envelope: Envelope, recipient: str, *, ordinal: str | int = 0) -> Output:
    """``stage`` gives ``record`` to ``recipient``, for treatment. The same record again gives the same entry; ``ordinal`` parts several recipients."""
    entry = AuditEntry(
        id=derived_id(envelope.id, stage, ordinal=ordinal),
        action="deliver",
        outcome="success",
        time=envelope.time,
        agent=stage,
        purpose="TREAT",
        subject=envelope.subject or "",
        record=envelope.id,
        recipient=recipient,
    )
    row = topics.BY_NAME[topics.AUDIT]
    headers = msgspec.structs.replace(
        envelope,
        id=entry.id,
        source=f"/agents/{stage}",
        type=row.event_type,
        content_type=JSON,
        data_class=row.data_class,
        deid_map=None,
    ).headers()
    return Output(topics.AUDIT, record.key, msgspec.json.encode(entry), headers)
