"""What a CDS Hooks call holds: its context, its patient, the record in its prefetch, its draft orders. Another patient's data are refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from gateway.cds.services import Service
from schemas.cards import DraftCheck

_KINDS: dict[str, type] = {"selections": list, "draftOrders": dict}
Object = dict[str, Any]


class Bad(Exception):
    """The request cannot be answered: status and a word of ours."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


def read_context(service: Service, body: Object) -> Object:
    """The context with every field that the hook needs. Raises Bad (400)."""
    if body.get("hook") != service.hook:
        raise Bad(400, "hook is not the service's")
    try:
        uuid.UUID(str(body.get("hookInstance")))
    except ValueError:
        raise Bad(400, "hookInstance is a UUID") from None
    context = body.get("context")
    if not isinstance(context, dict):
        raise Bad(400, "context is an object")
    for name in service.needs:
        if not context.get(name) or not isinstance(context[name], _KINDS.get(name, str)):
            raise Bad(400, f"context.{name} is missing or of another type")
    return context


def patient_id(context: Object) -> str:
    """Without the type that some EHRs put before it (``Patient/1``)."""
    return str(context["patientId"]).removeprefix("Patient/")


def read_record(prefetch: object, patient: str) -> list[Object]:
    """Every resource of the prefetch, whatever its key: alone, in a searchset, or beside the answer that brought it.

    Raises Bad (412): one of them is about another patient than ``patient``.
    """
    found = [one for value in (prefetch.values() if isinstance(prefetch, dict) else ()) for one in _resources(value)]
    for one in found:
        _refuse_others(one, patient, 412, "prefetch holds another patient's data")
    return found


def read_patient(record: list[Object]) -> Object | None:
    return next((one for one in record if one.get("resourceType") == "Patient"), None)


def draft_check(context: Object, record: list[Object]) -> DraftCheck:
    """The drafts to be judged: those that are selected (order-select), or all (order-sign). Raises Bad (400)."""
    patient = patient_id(context)
    drafts = list(_resources(context.get("draftOrders")))
    for one in drafts:
        _refuse_others(one, patient, 400, "draftOrders are another patient's")
    chosen = drafts
    if "selections" in context:
        wanted = {name for name in context["selections"] if isinstance(name, str)}
        chosen = [one for one in drafts if f"{one.get('resourceType')}/{one.get('id')}" in wanted]
    person = read_patient(record) or {}
    return DraftCheck(
        record=tuple(one for one in record if one.get("resourceType") != "Patient"),
        drafts=tuple(one for one in drafts if one not in chosen),
        chosen=tuple(chosen),
        birth_date=_string(person, "birthDate"),
        sex=_string(person, "gender"),
    )


def _resources(value: object) -> Iterator[Object]:
    if not isinstance(value, dict):
        return
    if value.get("resourceType") == "Bundle":
        entries = value.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                yield from _resources(entry.get("resource", entry))
    elif isinstance(value.get("resourceType"), str):
        yield value
    elif isinstance(value.get("resource"), dict):
        yield from _resources(value["resource"])


def _refuse_others(resource: Object, patient: str, status: int, why: str) -> None:
    if resource.get("resourceType") == "Patient":
        named = resource.get("id")
    else:
        reference = resource.get("subject") or resource.get("patient")
        text = reference.get("reference") if isinstance(reference, dict) else None
        named = text.rpartition("Patient/")[2].partition("/")[0] if isinstance(text, str) and "Patient/" in text else None
    if named is not None and named != patient:
        raise Bad(status, why)


def _string(resource: Object, name: str) -> str:
    value = resource.get(name)
    return value if isinstance(value, str) else ""
