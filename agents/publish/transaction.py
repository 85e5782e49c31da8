"""A published collection Bundle as a FHIR transaction that may be repeated: the same Bundle twice leaves the server as once.

https://hl7.org/fhir/R4/http.html#transaction, with conditional update and conditional create on ``identifier``.
"""

from __future__ import annotations

from urllib.parse import quote

from agents.publish.names import Object
from schemas.errors import MalformedMessage, Reason
from schemas.fhir.json import decode, encode

#: What the server may know better than we do is made where it is missing and never written over.
_CREATE_ONLY = frozenset({"Patient", "Device"})


def transaction(bundle: bytes) -> bytes:
    """The request. References between the entries are ``urn:uuid`` and are resolved by the server.

    Patient and Device: created where none with their identifier is there. Everything else with an identifier: conditional update.
    What has none (Provenance in R4): update under its own id, which is deterministic.

    Raises:
        MalformedMessage: it is no collection Bundle of resources with a ``fullUrl``.
    """
    try:
        found = decode(bundle)
        if found["resourceType"] != "Bundle" or found["type"] != "collection":
            raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle.type")
        entries = [_entry(row["fullUrl"], row["resource"]) for row in found["entry"]]
    except (KeyError, TypeError):
        raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle.entry") from None
    return encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _entry(url: str, resource: Object) -> Object:
    kind = str(resource["resourceType"])
    condition = _condition(resource)
    if condition is None:
        return {"fullUrl": url, "resource": resource, "request": {"method": "PUT", "url": f"{kind}/{resource['id']}"}}
    # a body whose id is not that of the match is an error by the standard, so that the server gives it
    body = {name: value for name, value in resource.items() if name != "id"}
    if kind in _CREATE_ONLY:
        return {"fullUrl": url, "resource": body, "request": {"method": "POST", "url": kind, "ifNoneExist": condition}}
    return {"fullUrl": url, "resource": body, "request": {"method": "PUT", "url": f"{kind}?{condition}"}}


def _condition(resource: Object) -> str | None:
    """Search parameters of the first identifier that means something outside its message."""
    rows = resource.get("identifier")
    for row in rows if isinstance(rows, list) else [rows]:
        if isinstance(row, dict) and row.get("system") and row.get("value"):
            system, value = (quote(_escaped(str(row[name])), safe=":/.-_~") for name in ("system", "value"))
            return f"identifier={system}%7C{value}"
    return None


def _escaped(text: str) -> str:
    """https://hl7.org/fhir/R4/search.html#escaping"""
    for sign in "\\$,|":
        text = text.replace(sign, "\\" + sign)
    return text
