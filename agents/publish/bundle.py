"""A decision as a FHIR R4 collection Bundle, validated before it leaves. Equal decisions give equal bytes."""

from __future__ import annotations

import base64

from agents.publish.ai_transparency import artificial_intelligence, kind
from agents.publish.check import Checker
from agents.publish.coded import render_facts
from agents.publish.drafts import render_draft
from agents.publish.issues import render_flag
from agents.publish.names import (
    AIAST,
    IDENTIFIER,
    MESSAGE,
    POLICY,
    PROVENANCE_AGENT,
    Object,
    coded,
    resource_id,
    stable,
    urn,
)
from agents.publish.place import Place
from agents.publish.resources import render_mentions
from agents.publish.subject import Subject, pseudonymous
from agents.publish.wording import concept
from schemas.fhir.json import encode
from schemas.findings import FindingsNote
from schemas.flags import Decision


def render(decision: Decision, subject: Subject | None = None, *, checker: Checker | None = None) -> bytes:
    """The Bundle's JSON. A ``checker`` that is used again saves most of the validation's cost.

    Raises:
        Poison: ``OUTPUT_INVALID`` with the path of what FHIR R4 does not allow.
    """
    bundle = build_bundle(decision, subject or pseudonymous(decision.findings))
    (checker or Checker()).check(bundle)
    return encode(bundle)


def build_bundle(decision: Decision, subject: Subject) -> Object:
    """Patient, makers, documents, what the notes say, flags, provenance; in this order."""
    findings = decision.findings
    patient_id = resource_id(findings.id, subject.realm, "Patient")
    documents = {note.path: resource_id(findings.id, subject.realm, "DocumentReference", note.path) for note in findings.notes}
    place = Place(
        findings,
        subject,
        {"reference": urn(patient_id)},
        {path: urn(name) for path, name in documents.items()},
        {note.path: note for note in findings.notes},
    )
    devices = _devices(decision, place)
    makers = {str(device["id"]): urn(str(device["id"])) for device in devices}
    rules = urn(str(devices[-1]["id"]))
    mentions = {mention.id: mention for mention in findings.mentions}
    notes = [_document(place, documents[note.path], note) for note in findings.notes]
    said = [*render_mentions(place), *(render_flag(place, flag, rules, mentions) for flag in decision.flags)]
    said += [render_draft(place, one) for one in decision.triage]
    resources = [subject.patient | {"id": patient_id}, *devices, *notes, *render_facts(place), *said]
    if said:
        resources.append(_provenance(place, [urn(str(one["id"])) for one in said], list(makers.values())))
    return {
        "resourceType": "Bundle",
        "id": resource_id(decision.id, subject.realm, "Bundle"),
        "meta": {"security": [AIAST, *subject.labels]},
        "identifier": {"system": IDENTIFIER, "value": stable(subject.realm, decision.id)},
        "type": "collection",
        "timestamp": findings.time,
        "entry": [{"fullUrl": urn(str(one["id"])), "resource": one} for one in resources],
    }


def _devices(decision: Decision, place: Place) -> list[Object]:
    """Every model and rule set that had a part in it; the flag rules come last."""
    versions = decision.findings.versions
    made = (
        ("de-identification policy", versions.policy),
        ("PHI model", versions.phi_model),
        ("entity model", versions.entity_model),
        ("assertion rules", versions.assertion_rules),
        ("flag rules", versions.flag_rules),
    )
    return [
        {
            "resourceType": "Device",
            "id": place.name("Device", name),
            "extension": [kind(learned=name.endswith("model"))],
            "identifier": place.identifier(name, version),
            "deviceName": [{"name": f"Wardstream {name}", "type": "model-name"}],
            "type": artificial_intelligence() | {"text": name},
            **({"version": [{"value": version}]} if version else {}),
        }
        for name, version in made
        if version or name == "flag rules"
    ]


def _document(place: Place, name: str, note: FindingsNote) -> Object:
    """The note. Released, only a pointer to the message that holds it: the stream has no original text past de-identification."""
    subject = place.subject
    source = place.findings.origin
    attachment: Object = {"contentType": "text/plain; charset=utf-8"}
    if subject.original:
        attachment["title"] = f"Note as received, {note.path}"
        identifiers = place.identifier(source, note.path)
    else:
        if note.text:
            attachment["data"] = base64.b64encode(note.text.encode("utf-8", "replace")).decode()
        identifiers = [{"system": IDENTIFIER, "value": note.sha256}]
    document: Object = {
        "resourceType": "DocumentReference",
        "id": name,
        "identifier": identifiers,
        "status": "current",
        "subject": place.patient,
        "content": [{"attachment": attachment}],
        "context": {"related": [{"identifier": {"system": MESSAGE, "value": source}}]},
    }
    if subject.labels:
        document["meta"] = {"security": list(subject.labels)}
    if note.codes:
        document["type"] = concept(note.codes[0].display or note.codes[0].code, note.codes)
    return document


def _provenance(place: Place, targets: list[str], makers: list[str]) -> Object:
    findings = place.findings
    source: Object = {"identifier": {"system": MESSAGE, "value": findings.origin}}
    documents = [{"role": "source", "what": {"reference": name}} for name in place.documents.values()]
    provenance: Object = {
        "resourceType": "Provenance",
        "id": place.name("Provenance"),
        "target": [{"reference": name} for name in targets],
        "recorded": findings.time,
        "reason": [{"coding": [AIAST]}],
        "agent": [
            {"type": coded(PROVENANCE_AGENT, "assembler"), "role": [artificial_intelligence()], "who": {"reference": name}}
            for name in makers
        ],
        "entity": documents or [{"role": "source", "what": source}],
    }
    if findings.versions.policy:
        provenance["policy"] = [f"{POLICY}:{findings.versions.policy}"]
    return provenance
