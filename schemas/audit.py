"""Audit entries (``ops.audit.recorded.v1``): who was told what about whom, by token; no direct identifier.

Shape after IHE BALP PrivacyDisclosure (FHIR AuditEvent is rendered from it at the edge).
"""

from __future__ import annotations

from typing import Literal

import msgspec


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="audit.v1", tag_field="schema"):
    id: str
    action: Literal[
        "reidentify",
        "decrypt",
        "deliver",
        "erase",
        "replay",
        "redrive",
        "discard",
        "read_letter",
        "promote",
        "rollback",
        "review",
        "export",
    ]
    outcome: Literal["success", "failure"]
    time: str
    agent: str
    purpose: str
    subject: str = ""
    record: str = ""
    recipient: str = ""
