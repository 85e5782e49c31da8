"""A drafted answer to a patient's message as a FHIR Communication in preparation: a person checks, changes and sends it, or does not."""

from __future__ import annotations

from agents.publish.names import AIAST, FACT, MESSAGE, Object, plain
from agents.publish.place import Place
from schemas.flags import Triage, Urgency

#: http://hl7.org/fhir/R4/valueset-request-priority.html: of the message that waits for an answer.
_PRIORITY: dict[Urgency, str] = {"emergency": "stat", "same-day": "urgent", "routine": "routine"}
_WARNING = "Draft made by software from fixed sentences and the facts named here. It was not sent. A person must check, change and send it."


def render_draft(place: Place, triage: Triage) -> Object:
    """``status`` is ``preparation`` and there is no sender, always."""
    source = {"identifier": {"system": MESSAGE, "value": place.findings.origin}}
    told = [{"identifier": {"system": FACT, "value": plain(one.ref)}} for one in triage.draft.sources]
    return {
        "resourceType": "Communication",
        "id": place.name("Communication", triage.note),
        "meta": {"security": [AIAST]},
        "identifier": place.identifier(place.findings.origin, triage.note, "draft", triage.version),
        "inResponseTo": [source],
        "status": "preparation",
        "category": [{"text": name} for name in triage.asks],
        "priority": _PRIORITY[triage.urgency],
        "subject": place.patient,
        "recipient": [place.patient],
        **({"about": told} if told else {}),
        "payload": [{"contentString": triage.draft.text}],
        "note": [{"text": _WARNING}],
    }
