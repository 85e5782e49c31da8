"""Coded facts of an HL7 v2 message as FHIR R4 resources; what the sender stated keeps the sender's status.

By the segment maps of the HL7 v2-to-FHIR guide: OBX[Observation], DG1 and PRB[Condition], AL1 and IAM[AllergyIntolerance],
PR1[Procedure], OBR[DiagnosticReport], RXA[Immunization]; statuses by its concept maps. What is ordered and has no result is left out: a
ServiceRequest that a server stores might be taken for an order. So might a MedicationRequest: medications (RXO, RXE, RXD, RXA) are MedicationStatements. Facts of FHIR input are not published again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.publish.immunizations import render_immunization
from agents.publish.names import ALLERGY_CLINICAL, FACT_VERSION, Object, coded, plain, urn
from agents.publish.quantities import stated_quantity
from agents.publish.resources import Place, concept, first_words
from schemas.clinical import Fact

_SEGMENT = re.compile(r"(?:^|[/.])(OBR|OBX|DG1|PRB|AL1|IAM|PR1|RXO|RXE|RXD|RXA)(?=\W|$)")
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
#: The codes of table 0078 that the FHIR code system has too, with its displays; others stay words.
_FLAGS = {
    "L": "Low", "LL": "Critical low", "H": "High", "HH": "Critical high", "N": "Normal", "A": "Abnormal", "AA": "Critical abnormal",
    "S": "Susceptible", "R": "Resistant", "I": "Intermediate", "POS": "Positive", "NEG": "Negative", "U": "Significant change up",
    "D": "Significant change down", "B": "Better", "W": "Worse",
}  # fmt: skip
#: AL1-4 (table 0128) -> criticality; "moderate" is neither of the two, and is left out.
_CRITICALITY = {"SV": "high", "MI": "low", "U": "unable-to-assess"}
#: OBX-11 (table 0085) -> Observation.status; anything else is ``unknown``.
_STATUS = {
    **dict.fromkeys(("F", "U"), "final"),
    **dict.fromkeys(("P", "R", "S", "B"), "preliminary"),
    **dict.fromkeys(("I", "O"), "registered"),
    **dict.fromkeys(("D", "W"), "entered-in-error"),
    "C": "corrected",
    "X": "cancelled",
}
#: OBR-25 (table 0123) -> DiagnosticReport.status; ``Y`` and ``Z`` answer queries and say nothing of a report.
_REPORTED = {
    **dict.fromkeys(("O", "I", "S"), "registered"),
    **dict.fromkeys(("A", "R"), "partial"),
    "P": "preliminary",
    "F": "final",
    "C": "corrected",
    "X": "cancelled",
}
#: ORC-5 and ORC-1 (tables 0038, 0119) of an order, RXA-20 (table 0322) of what was given -> MedicationStatement.status.
_ORDERED = {
    **dict.fromkeys(("IP", "SC", "NW", "OK", "XO", "RP"), "intended"),
    **dict.fromkeys(("CA", "OC", "CR", "DC", "OD", "DR"), "stopped"),
    **dict.fromkeys(("HD", "HR", "OH"), "on-hold"),
    "CM": "completed",
}
_GIVEN = {"CP": "completed", "PA": "completed", "RE": "not-taken", "NA": "not-taken"}


def render_facts(place: Place) -> Iterator[Object]:
    """Resources in the order of the facts; a fact without code and without words gives none."""
    segments = [_segment(fact) for fact in place.findings.facts]
    vaccines = place.findings.kind.startswith("VXU")  # a vaccine is no medication that is taken
    results: dict[str, list[Object]] = {}
    made: list[Object] = []
    orders = [segment for segment in segments if segment in ("RXO", "RXE")]
    for fact, segment in zip(place.findings.facts, segments, strict=True):
        if segment in ("RXO", "RXE"):
            orders.pop(0)
        # the order as the pharmacy encoded it stands for the order as it was asked
        if not segment or (segment == "RXO" and orders[:1] == ["RXE"]) or not (fact.codes or plain(fact.text)):
            continue
        body = render_immunization(fact) if vaccines and segment == "RXA" else _MAKERS[segment](fact)
        if body is None:
            continue
        kind = str(body["resourceType"])
        dressed: Object = {
            "resourceType": kind,
            "id": place.name(kind, "fact", fact.path, fact.id),
            "identifier": place.identifier("fact", place.findings.subject, fact.id),
            "patient" if kind in ("AllergyIntolerance", "Immunization") else "subject": place.patient,
        }
        if place.subject.labels:
            dressed["meta"] = {"security": list(place.subject.labels)}
        time = place.timed(_TIMING.get(kind, "recordedDate"), fact.elapsed)
        if kind == "Immunization" and "occurrenceDateTime" not in time:
            time["occurrenceString"] = "not told"  # one of the two must be there
        extensions = [*versioned(fact), *time.get("extension", ())]
        made.append(dressed | time | ({"extension": extensions} if extensions else {}) | body)
        if kind == "DiagnosticReport":
            made[-1]["result"] = results.setdefault(fact.id, [])
        elif kind == "Observation" and fact.part_of:
            results.setdefault(fact.part_of, []).append({"reference": urn(str(dressed["id"]))})
    for resource in made:
        yield {name: value for name, value in resource.items() if value != []}


def versioned(fact: Fact) -> list[Object]:
    """The extension by which receivers tell an older version of a fact that comes late from a newer one."""
    return [{"url": FACT_VERSION, "valueDecimal": fact.version}] if fact.version else []


def _segment(fact: Fact) -> str:
    found = _SEGMENT.search(fact.path)
    return found.group(1) if found else ""


def _name(fact: Fact) -> Object | None:
    words = first_words(fact.codes)
    return concept(words, fact.codes) if words else None


def _report(fact: Fact) -> Object | None:
    """The sender's report of its own results; they follow as ``result``."""
    name = _name(fact)
    return name and {"resourceType": "DiagnosticReport", "status": _REPORTED.get(fact.status, "unknown"), "code": name}


def _observation(fact: Fact) -> Object | None:
    code = _name(fact)
    if code is None:
        return None
    body: Object = {"resourceType": "Observation", "status": _STATUS.get(fact.status, "unknown"), "code": code}
    text = plain(fact.text)
    if quantity := stated_quantity(fact.value, fact.unit, fact.comparator):
        body["valueQuantity"] = quantity
    elif words := text or first_words(fact.value_codes):
        if fact.value_codes:
            body["valueCodeableConcept"] = concept(words, fact.value_codes)
        else:  # of several numbers, or a range, the unit is a part
            measured = not any(sign.isalpha() for sign in words) and plain(fact.unit)
            body["valueString"] = f"{words} {plain(fact.unit)}" if measured else words
    for element in ("method", "bodySite"):
        if words := first_words(fact.details.get(element, ())):
            body[element] = concept(words, fact.details[element])
    if plain(fact.reference_range):
        body["referenceRange"] = [{"text": plain(fact.reference_range)}]
    flags = [_interpreted(flag) for flag in fact.interpretation if plain(flag)]
    if flags:
        body["interpretation"] = flags
    return body


def _interpreted(flag: str) -> Object:
    if flag not in _FLAGS:
        return {"text": plain(flag)}
    return {"coding": [{"system": _INTERPRETATION, "code": flag, "display": _FLAGS[flag]}]}


def _stated(kind: str, fact: Fact) -> Object | None:
    name = _name(fact) or ({"text": plain(fact.text)} if kind != "AllergyIntolerance" and plain(fact.text) else None)
    return {"resourceType": kind, "code": name} if name else None


def _problem(fact: Fact) -> Object | None:
    body = _stated("Condition", fact)
    return body and body | _withdrawn(fact, "condition-ver-status")


def _allergy(fact: Fact) -> Object | None:
    body = _stated("AllergyIntolerance", fact)
    if body is None:
        return None
    if words := plain(fact.text):
        body["reaction"] = [{"manifestation": [{"text": words}]}]
    severity = next(iter(fact.interpretation), "").partition("^")[0]
    if severity in _CRITICALITY:
        body["criticality"] = _CRITICALITY[severity]
    if not fact.retracted:
        body["clinicalStatus"] = coded(ALLERGY_CLINICAL, "active")  # invariant ait-1 asks for it
    return body | _withdrawn(fact, "allergyintolerance-verification")


def _withdrawn(fact: Fact, system: str) -> Object:
    """The segments state no certainty; only a deletion says something about it."""
    return (
        {"verificationStatus": coded(f"http://terminology.hl7.org/CodeSystem/{system}", "entered-in-error")}
        if fact.retracted
        else {}
    )


def _procedure(fact: Fact) -> Object | None:
    body = _stated("Procedure", fact)
    return body and body | {"status": "entered-in-error" if fact.retracted else "completed"}


def _ordered(fact: Fact) -> Object | None:
    return _medication(fact, _ORDERED.get(fact.status, "unknown"))


def _given(fact: Fact) -> Object | None:
    return _medication(fact, "entered-in-error" if fact.retracted else _GIVEN.get(fact.status, "unknown"))


def _medication(fact: Fact, status: str) -> Object | None:
    name = _name(fact) or ({"text": plain(fact.text)} if plain(fact.text) else None)
    if name is None:
        return None
    body: Object = {"resourceType": "MedicationStatement", "status": status, "medicationCodeableConcept": name}
    dosage: Object = {}
    if plain(fact.unit) and (dose := stated_quantity(fact.value, fact.unit)):
        dosage = {"text": f"{fact.value} {plain(fact.unit)}", "doseAndRate": [{"doseQuantity": dose}]}
    for element in ("route", "site"):
        if words := first_words(fact.details.get(element, ())):
            dosage[element] = concept(words, fact.details[element])
    if dosage:
        body["dosage"] = [dosage]
    return body


_TIMING = {
    **dict.fromkeys(("Observation", "MedicationStatement", "DiagnosticReport"), "effectiveDateTime"),
    "Procedure": "performedDateTime",
    "Immunization": "occurrenceDateTime",
}
_MAKERS = {
    **dict.fromkeys(("RXO", "RXE", "RXD"), _ordered),
    "RXA": _given,
    "OBR": _report,
    "OBX": _observation,
    "DG1": _problem,
    "PRB": _problem,
    "AL1": _allergy,
    "IAM": _allergy,
    "PR1": _procedure,
}
