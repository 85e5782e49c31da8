"""What a FHIR resource or Bundle says clinically: notes, facts, and what was read of it. Knows no identifier types.

The same reader runs on resources as received and on de-identified ones, where dates are years or gone and ids are tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

from schemas.clinical import ClinicalMessage, Coverage
from schemas.fhir.facts import USED, read_facts
from schemas.fhir.notes import add_picture, read_notes, replace_part
from schemas.fhir.references import target
from schemas.fhir.values import Object, first_object, string
from schemas.fhir.walk import contents, read_leaf, resource_type, walk

__all__ = ["add_picture", "fact_time_paths", "read_clinical", "read_leaf", "replace_part", "time_path"]

_YEAR = re.compile(r"(?:18|19|20)\d\d")
_ORDINAL = re.compile(r"\[\d+\]")

#: Demographics, and what a note carries besides its text.
_ALSO_USED = frozenset({
    "Patient.gender", "Patient.birthDate", "Bundle.timestamp", "DocumentReference.type", "DocumentReference.status",
    "DocumentReference.docStatus", "DiagnosticReport.code", "DiagnosticReport.status", "Composition.type", "Composition.status",
    "Composition.section.code", "Composition.section.title", "Communication.status",
})  # fmt: skip

#: Elements that say when the message itself was made, best first.
_TIMES = (
    "timestamp", "date", "issued", "effectiveDateTime", "effectivePeriod.start", "authoredOn", "recordedDate", "authored", "sent",
    "recorded", "performedDateTime", "performedPeriod.start", "occurrenceDateTime", "whenHandedOver", "period.start",
    "meta.lastUpdated",
)  # fmt: skip


def read_clinical(root: Object) -> ClinicalMessage:
    """Notes, facts, demographics and the coverage report. ``elapsed`` of every fact is ``None``; see ``fact_time_paths``.

    ``kind`` is the resource type. Nothing is raised for content: what cannot be read is counted in ``coverage``.
    """
    notes = read_notes(root)
    sex, birth_year, encounter = "", None, ""
    for _, resource, container in contents(root):
        if container is not None:
            continue
        kind = string(resource, "resourceType")
        if kind == "Patient":
            sex = sex or string(resource, "gender")
            year = _YEAR.match(string(resource, "birthDate"))
            birth_year = birth_year or (int(year.group()) if year else None)
        encounter = encounter or _encounter(kind, resource)
    path = time_path(root)
    return ClinicalMessage(
        format="fhir",
        kind=resource_type(root),
        notes=tuple(notes.found),
        facts=tuple(timed.fact for timed in read_facts(root)),
        coverage=_coverage(root, notes.used, notes.refused),
        sex=sex,
        birth_year=birth_year,
        encounter=encounter,
        time=_at(root, path),
    )


def fact_time_paths(root: Object) -> dict[str, str]:
    """``Fact.path`` -> path of the element that its time was read from (``Observation.effectivePeriod.start``)."""
    return {timed.fact.path: timed.time_path for timed in read_facts(root)}


def time_path(root: Object) -> str:
    """Path of the instant at which the message was made; empty when it does not say. A Bundle without a timestamp takes it from
    its first resource that has one."""
    candidates = [("", root)] if root.get("resourceType") != "Bundle" else [("", root), *((p, r) for p, r, _ in contents(root))]
    for path, resource in candidates:
        path = path or string(resource, "resourceType")
        for name in _TIMES:
            outer, _, inner = name.partition(".")
            holder = first_object(resource.get(outer)) if inner else resource
            if string(holder, inner or outer) and isinstance(resource.get(outer), str | dict):
                return f"{path}.{name}"
    return ""


def _at(root: Object, path: str) -> str:
    found = read_leaf(root, path) if path else ""
    return found if isinstance(found, str) else ""


def _encounter(kind: str, resource: Object) -> str:
    if kind == "Encounter":
        return string(resource, "id")
    named = target(first_object(resource.get("encounter")).get("reference"))
    if named is None:
        context = first_object(resource.get("context"))
        named = target(first_object(context.get("encounter") or context).get("reference"))
        named = named if named and named.type in {"", "Encounter"} else None
    return named.id if named else ""


def _coverage(root: Object, read: set[str], refused: dict[str, str]) -> Coverage:
    """Every leaf is used, ignored or refused; elements that FHIR does not define are counted as ``Type.???``."""
    used: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    for node in walk(root):
        if node.path in refused or (node.type and isinstance(node.value, dict)):
            continue
        (used if node.path in read or _is_used(node.name) else ignored)[node.name] += 1
    why = {_ORDINAL.sub("", path): reason for path, reason in refused.items()}
    return Coverage(used=dict(used), ignored=dict(ignored), refused=why)


@cache
def _is_used(name: str) -> bool:
    """Names come from the definitions, so the cache is bounded."""
    while "." in name:
        if name in USED or name in _ALSO_USED:
            return True
        name = name.rpartition(".")[0]
    return False
