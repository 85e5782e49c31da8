"""The coded statements of resources: observations, problems, allergies, medications, procedures, questionnaire scores.

Each fact comes with the path of the element that its time stands in, because de-identification keeps times by that path and not
in the resource. An element that was dropped but left its ``_name`` companion (data-absent-reason) still has that path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from schemas.clinical import Coding, Fact, FactKind
from schemas.fhir.dosing import daily_amount
from schemas.fhir.references import Index
from schemas.fhir.values import (
    Object,
    Value,
    code_of,
    codings,
    concept_text,
    first_object,
    objects,
    quantity,
    read_value,
    reference_range,
    string,
)
from schemas.fhir.walk import contents
from schemas.loinc import LOINC, SCORES, VITALS

#: ``Fact.version`` is ``meta.versionId`` times this plus the status rank.
VERSION_STEP = 16

#: http://hl7.org/fhir/R4/valueset-observation-status.html and its siblings: a correction wins over what it corrects.
_RANK = {
    "registered": 0, "draft": 0, "preliminary": 1, "provisional": 1, "unconfirmed": 1, "partial": 1,
    "amended": 4, "corrected": 5, "appended": 4, "cancelled": 6, "entered-in-error": 7,
}  # fmt: skip
_FINAL_RANK = 3
_RETRACTED = frozenset({"entered-in-error", "cancelled"})

#: ``/44249-1/44260-8``: questionnaires made from LOINC panels carry the code as linkId.
_LOINC_LINK = re.compile(r"(?:^|/)(\d{1,5}-\d)$")

#: What the readers below read, by path without ordinals; everything under it counts as used.
USED = frozenset(
    f"{kind}.{name}"
    for kind, names in {
        "Observation": "status category code effectiveDateTime effectivePeriod effectiveInstant issued valueQuantity valueInteger "
        "valueCodeableConcept valueBoolean valueString valueRange valueRatio interpretation referenceRange component.code "
        "component.valueQuantity component.valueInteger component.valueCodeableConcept component.valueBoolean "
        "component.valueString component.interpretation component.referenceRange encounter",
        "Condition": "clinicalStatus verificationStatus category code onsetDateTime onsetPeriod recordedDate severity encounter",
        "AllergyIntolerance": "clinicalStatus verificationStatus criticality code onsetDateTime recordedDate reaction.substance "
        "reaction.manifestation",
        "Procedure": "status code performedDateTime performedPeriod encounter",
        "Immunization": "status vaccineCode occurrenceDateTime doseQuantity encounter",
        "MedicationRequest": "status medicationCodeableConcept medicationReference authoredOn dosageInstruction.doseAndRate "
        "dosageInstruction.timing dosageInstruction.sequence dosageInstruction.maxDosePerPeriod encounter",
        "MedicationStatement": "status medicationCodeableConcept medicationReference effectiveDateTime effectivePeriod dateAsserted "
        "dosage.doseAndRate",
        "MedicationAdministration": "status medicationCodeableConcept medicationReference effectiveDateTime effectivePeriod "
        "dosage.dose",
        "MedicationDispense": "status medicationCodeableConcept medicationReference whenHandedOver whenPrepared "
        "dosageInstruction.doseAndRate",
        "Medication": "code",
        "QuestionnaireResponse": "status authored item.linkId item.answer.valueInteger item.answer.valueDecimal "
        "item.answer.valueCoding item.answer.valueQuantity item.item.linkId item.item.answer.valueInteger "
        "item.item.answer.valueDecimal item.item.answer.valueCoding",
    }.items()
    for name in (*names.split(), "id", "meta.versionId")
)


@dataclass(frozen=True, slots=True)
class TimedFact:
    """``time_path`` is where ``fact.time`` stands; empty when the message gives no time at all."""

    fact: Fact
    time_path: str


@dataclass(frozen=True, slots=True)
class _Source:
    """One resource with the message around it."""

    resource: Object
    path: str
    id: str
    index: Index
    message_time: tuple[str, str]

    def time(self, *names: str) -> tuple[str, str]:
        """The first of the elements (``effectivePeriod.start``) that is there or was redacted: (value, path)."""
        for name in names:
            outer, _, inner = name.partition(".")
            holder, key, path = self.resource, outer, f"{self.path}.{outer}"
            if inner:
                holder, key, path = first_object(self.resource.get(outer)), inner, f"{path}.{inner}"
            if string(holder, key) or isinstance(holder.get(f"_{key}"), dict):
                return string(holder, key), path
        return self.message_time

    def version(self, status: str) -> int:
        given = string(first_object(self.resource.get("meta")), "versionId")
        count = int(given) if given.isascii() and given.isdigit() and len(given) < 15 else 0
        return count * VERSION_STEP + _RANK.get(status, _FINAL_RANK)


def read_facts(root: Object) -> list[TimedFact]:
    """Facts in the order of the message, those of contained resources included."""
    index = Index(root)
    when = _message_time(root)
    facts: list[TimedFact] = []
    for path, resource, container in contents(root):
        reader = _READERS.get(string(resource, "resourceType"))
        if reader is not None:
            facts += reader(_Source(resource, path, _fact_id(path, resource, container), index, when))
    return facts


def _message_time(root: Object) -> tuple[str, str]:
    for key in ("timestamp", "date"):
        if string(root, key):
            return string(root, key), f"{string(root, 'resourceType')}.{key}"
    return "", ""


def _fact_id(path: str, resource: Object, container: Object | None) -> str:
    """``Observation/123``; else by business identifier; else ``#path``, which means nothing outside this message."""
    kind, name = string(resource, "resourceType"), string(resource, "id")
    if container is not None:
        owner = string(container, "id")
        return f"{string(container, 'resourceType')}/{owner}#{name}" if owner and name else f"#{path}"
    if name:
        return f"{kind}/{name}"
    identifier = first_object(resource.get("identifier"))
    value = string(identifier, "value")
    return f"{kind}/{string(identifier, 'system')}|{value}" if value else f"#{path}"


def _fact(source: _Source, kind: FactKind, codes: tuple[Coding, ...], time: tuple[str, str], **rest: Any) -> Iterator[TimedFact]:
    """One fact; none where the resource holds neither code nor text."""
    status = rest.setdefault("status", string(source.resource, "status"))
    if not codes and not rest.get("text"):
        return
    rest.setdefault("retracted", status in _RETRACTED)
    rest.setdefault("version", source.version("entered-in-error" if rest["retracted"] else status))
    rest.setdefault("id", source.id)
    rest.setdefault("path", source.path)
    yield TimedFact(Fact(kind=kind, codes=codes, time=time[0], **rest), time[1])


def _observation(source: _Source) -> Iterator[TimedFact]:
    resource = source.resource
    time = source.time("effectiveDateTime", "effectiveInstant", "effectivePeriod.start", "effectivePeriod.end", "issued")
    yield from _measured(source, resource, source.path, source.id, time)
    seen: dict[str, int] = {}
    for position, component in enumerate(objects(resource.get("component"))):
        name = code_of(component.get("code")) or str(position)
        count = seen[name] = seen.get(name, 0) + 1
        name = name if count == 1 else f"{name}/{count}"
        yield from _measured(source, component, f"{source.path}.component[{position}]", f"{source.id}/{name}", time)


def _measured(source: _Source, holder: Object, path: str, name: str, time: tuple[str, str]) -> Iterator[TimedFact]:
    """A value of the Observation or of one component; a panel's own empty value is no fact unless it is withdrawn."""
    value = read_value(holder, concept=holder.get("code"))
    withdrawn = string(source.resource, "status") in _RETRACTED
    if value.number is None and not value.text and not value.codes and not withdrawn:
        return
    codes = codings(holder.get("code"))
    if not codes and (label := concept_text(holder.get("code"))):
        codes = (Coding(display=label),)
    yield from _fact(
        source, _observation_kind(source.resource, codes, value), codes, time,
        id=name,
        path=f"{path}.{value.element}" if value.element else path,
        text=value.text, value=value.number, comparator=value.comparator, unit=value.unit, value_codes=value.codes,
        reference_range=reference_range(holder.get("referenceRange")),
        interpretation=tuple(c.code for c in codings(holder.get("interpretation")) if c.code),
    )  # fmt: skip


def _observation_kind(resource: Object, codes: tuple[Coding, ...], value: Value) -> FactKind:
    numbers = {coding.code for coding in codes if coding.system == LOINC}
    if numbers & SCORES:
        return "score"
    if numbers & VITALS:
        return "vital"
    categories = {coding.code for coding in codings(resource.get("category"))}
    if "vital-signs" in categories:
        return "vital"
    if "laboratory" in categories:
        return "lab"
    if "survey" in categories:
        return "score" if value.number is not None else "other"
    return "lab" if not categories and value.element == "valueQuantity" else "other"


def _condition(source: _Source) -> Iterator[TimedFact]:
    resource = source.resource
    certainty = code_of(resource.get("verificationStatus"))
    yield from _fact(
        source, "problem", codings(resource.get("code")),
        source.time("onsetDateTime", "onsetPeriod.start", "recordedDate"),
        text=concept_text(resource.get("code")),
        status=_certain(certainty) or code_of(resource.get("clinicalStatus")),
        interpretation=tuple(filter(None, (code_of(resource.get("severity")),))),
        retracted=certainty == "entered-in-error",
    )  # fmt: skip


def _certain(certainty: str) -> str:
    """A verification status that says more than the clinical status: unconfirmed, refuted and so on."""
    return "" if certainty == "confirmed" else certainty


def _allergy(source: _Source) -> Iterator[TimedFact]:
    resource = source.resource
    certainty = code_of(resource.get("verificationStatus"))
    reactions = objects(resource.get("reaction"))
    substances = tuple(coding for reaction in reactions for coding in codings(reaction.get("substance")))
    text = concept_text(resource.get("code")) or next((concept_text(r.get("substance")) for r in reactions), "")
    yield from _fact(
        source, "allergy", tuple(dict.fromkeys((*codings(resource.get("code")), *substances))),
        source.time("onsetDateTime", "onsetPeriod.start", "recordedDate", "lastOccurrence"),
        text=text,
        value_codes=tuple(coding for reaction in reactions for coding in codings(reaction.get("manifestation"))),
        interpretation=tuple(filter(None, (string(resource, "criticality"),))),
        status=_certain(certainty) or code_of(resource.get("clinicalStatus")),
        retracted=certainty == "entered-in-error",
    )  # fmt: skip


def _procedure(source: _Source) -> Iterator[TimedFact]:
    code = source.resource.get("code")
    yield from _fact(
        source, "procedure", codings(code), source.time("performedDateTime", "performedPeriod.start"), text=concept_text(code)
    )


def _medication(*times: str, code: str = "medicationCodeableConcept") -> Callable[[_Source], Iterator[TimedFact]]:
    def read(source: _Source) -> Iterator[TimedFact]:
        resource = source.resource
        reference = first_object(resource.get("medicationReference"))
        named = source.index.resolve(reference.get("reference"), resource) or {}
        concept = resource.get(code) or named.get("code")
        amount, comparator, unit = _dose(resource)
        ordered = string(resource, "resourceType") == "MedicationRequest"
        yield from _fact(
            source, "medication", codings(concept), source.time(*times),
            text=concept_text(concept) or string(reference, "display"),
            value=amount, comparator=comparator, unit=unit,
            order=source.id if ordered else "", daily=daily_amount(resource.get("dosageInstruction")) if ordered else None,
        )  # fmt: skip

    return read


def _dose(resource: Object) -> tuple[Any, Any, str]:
    dosage = first_object(resource.get("dosageInstruction") or resource.get("dosage"))
    rate = first_object(dosage.get("doseAndRate"))
    return quantity(
        first_object(rate.get("doseQuantity") or dosage.get("doseQuantity") or dosage.get("dose") or resource.get("doseQuantity"))
    )


def _questionnaire(source: _Source) -> Iterator[TimedFact]:
    """Items whose linkId or definition is a LOINC code, at any depth."""
    time = source.time("authored")
    waiting = [(item, f"{source.path}.item[{n}]") for n, item in enumerate(objects(source.resource.get("item")))]
    while waiting:
        item, path = waiting.pop(0)
        for n, inner in enumerate(objects(item.get("item"))):
            waiting.append((inner, f"{path}.item[{n}]"))
        code = _item_code(item)
        for n, answer in enumerate(objects(item.get("answer"))):
            for m, inner in enumerate(objects(answer.get("item"))):
                waiting.append((inner, f"{path}.answer[{n}].item[{m}]"))
            value = read_value(answer, concept={"coding": [{"system": LOINC, "code": code}]} if code else None)
            if code and (value.number is not None or value.codes or value.text):
                yield from _fact(
                    source, "score", (Coding(system=LOINC, code=code),), time,
                    id=f"{source.id}/{code}" + (f"/{n + 1}" if n else ""),
                    path=f"{path}.answer[{n}].{value.element}",
                    text=value.text, value=value.number, comparator=value.comparator, unit=value.unit, value_codes=value.codes,
                )  # fmt: skip


def _item_code(item: Object) -> str:
    for name in ("linkId", "definition"):
        if match := _LOINC_LINK.search(string(item, name)):
            return match.group(1)
    return ""


_READERS: dict[str, Callable[[_Source], Iterator[TimedFact]]] = {
    "Observation": _observation,
    "Condition": _condition,
    "AllergyIntolerance": _allergy,
    "Procedure": _procedure,
    "Immunization": _medication("occurrenceDateTime", "recorded", code="vaccineCode"),
    "MedicationRequest": _medication("authoredOn"),
    "MedicationStatement": _medication("effectiveDateTime", "effectivePeriod.start", "dateAsserted"),
    "MedicationAdministration": _medication("effectiveDateTime", "effectivePeriod.start"),
    "MedicationDispense": _medication("whenHandedOver", "whenPrepared"),
    "QuestionnaireResponse": _questionnaire,
}
