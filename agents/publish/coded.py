"""Coded facts of an HL7 v2 message as FHIR R4 resources; what the sender stated keeps the sender's status.

By the segment maps of the HL7 v2-to-FHIR guide: OBX[Observation], DG1 and PRB[Condition], AL1 and IAM[AllergyIntolerance],
PR1[Procedure]; statuses by its concept map for table 0085. Medications (RXO, RXE, RXD, RXA) are MedicationStatements: a MedicationRequest that a
server stores might be taken for an order. Facts of FHIR input are not published again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.publish.names import ALLERGY_CLINICAL, Object, coded, plain
from agents.publish.place import Place
from agents.publish.quantities import UCUM, ucum
from agents.publish.wording import concept
from schemas.clinical import Fact

_SEGMENT = re.compile(r"(?:^|[/.])(OBX|DG1|PRB|AL1|IAM|PR1|RXO|RXE|RXD|RXA)(?=\W|$)")
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
    skipped = {"RXO"} if "RXE" in segments else set()  # the order as the pharmacy encoded it stands for the order as it was asked
    if place.findings.kind.startswith("VXU"):
        skipped.add("RXA")  # a vaccine is no medication that is taken
    for fact, segment in zip(place.findings.facts, segments, strict=True):
        if not segment or segment in skipped or not (fact.codes or plain(fact.text)):
            continue
        body = _MAKERS[segment](fact)
        if body is None:
            continue
        kind = str(body["resourceType"])
        dressed: Object = {
            "resourceType": kind,
            "id": place.name(kind, "fact", fact.path, fact.id),
            "identifier": place.identifier("fact", place.findings.subject, fact.id),
            "patient" if kind == "AllergyIntolerance" else "subject": place.patient,
        }
        if place.subject.labels:
            dressed["meta"] = {"security": list(place.subject.labels)}
        timing = _TIMING.get(kind, "recordedDate")
        yield dressed | place.timed(timing, fact.elapsed) | body


def _segment(fact: Fact) -> str:
    found = _SEGMENT.search(fact.path)
    return found.group(1) if found else ""


def _name(fact: Fact) -> Object | None:
    words = next((text for c in fact.codes if (text := plain(c.display) or plain(c.code))), "")
    return concept(words, fact.codes) if words else None


def _observation(fact: Fact) -> Object | None:
    code = _name(fact)
    if code is None:
        return None
    body: Object = {"resourceType": "Observation", "status": _STATUS.get(fact.status, "unknown"), "code": code}
    text = plain(fact.text)
    if fact.value is not None and fact.value.is_finite():
        quantity: Object = {"value": fact.value}
        if fact.comparator:
            quantity["comparator"] = fact.comparator
        if plain(fact.unit):
            quantity["unit"] = plain(fact.unit)
            if code_of_unit := ucum(fact.unit):
                quantity |= {"system": UCUM, "code": code_of_unit}
        body["valueQuantity"] = quantity
    elif words := text or next((w for c in fact.value_codes if (w := plain(c.display) or plain(c.code))), ""):
        if fact.value_codes:
            body["valueCodeableConcept"] = concept(words, fact.value_codes)
        else:
            body["valueString"] = words
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
    if fact.value is not None and fact.value.is_finite() and plain(fact.unit):
        dose: Object = {"value": fact.value, "unit": plain(fact.unit)}
        if code := ucum(fact.unit):
            dose |= {"system": UCUM, "code": code}
        body["dosage"] = [{"text": f"{fact.value} {plain(fact.unit)}", "doseAndRate": [{"doseQuantity": dose}]}]
    return body


_TIMING = {"Observation": "effectiveDateTime", "Procedure": "performedDateTime", "MedicationStatement": "effectiveDateTime"}
_MAKERS = {
    **dict.fromkeys(("RXO", "RXE", "RXD"), _ordered),
    "RXA": _given,
    "OBX": _observation,
    "DG1": _problem,
    "PRB": _problem,
    "AL1": _allergy,
    "IAM": _allergy,
    "PR1": _procedure,
}
