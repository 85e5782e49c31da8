"""A vaccine that a sender reports (RXA of VXU) as Immunization, after RXA[Immunization] of the HL7 v2-to-FHIR guide."""

from __future__ import annotations

from agents.publish.names import Object, plain
from agents.publish.quantities import stated_quantity
from agents.publish.resources import concept, first_words
from schemas.clinical import Fact

#: RXA-20 (table 0322), by the guide's concept map; not valued is completed.
_STATUS = {"": "completed", "CP": "completed", "PA": "completed", "RE": "not-done", "NA": "not-done"}
_CVX = "http://hl7.org/fhir/sid/cvx"
#: CVX "no vaccine administered".
_NONE_GIVEN = "998"
#: The amount that stands for an unknown one (CDC HL7 v2.5.1 guide for immunization messaging, RXA-6).
_UNKNOWN_AMOUNT = 999


def render_immunization(fact: Fact) -> Object | None:
    words = first_words(fact.codes)
    status = "entered-in-error" if fact.retracted else _STATUS.get(fact.status)
    if not words or status is None:
        return None
    if any(coding.system == _CVX and coding.code == _NONE_GIVEN for coding in fact.codes) and not fact.retracted:
        status = "not-done"
    body: Object = {"resourceType": "Immunization", "status": status, "vaccineCode": concept(words, fact.codes)}
    for name in ("statusReason", "reportOrigin", "site", "route"):
        found = fact.details.get(name, ())
        if words := first_words(found):
            body[name] = concept(words, found)
    if reason := first_words(fact.details.get("reasonCode", ())):
        body["reasonCode"] = [concept(reason, fact.details["reasonCode"])]
    if maker := first_words(fact.details.get("manufacturer", ())):
        body["manufacturer"] = {"display": maker}
    known = status != "not-done" and fact.value != _UNKNOWN_AMOUNT and plain(fact.unit)
    if known and (dose := stated_quantity(fact.value, fact.unit)):
        body["doseQuantity"] = dose
    return body
