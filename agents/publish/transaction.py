"""A published collection Bundle as a FHIR transaction that may be repeated: the same Bundle twice leaves the server as once.

https://hl7.org/fhir/R4/http.html#transaction, with conditional update and conditional create on ``identifier``. A fact that a message states carries its
version; where the server has a newer one, the older is left out, and what was read there is written over only as it was read (``ifMatch``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote

from agents.publish.names import FACT_VERSION, Object
from schemas.errors import MalformedMessage, Reason
from schemas.fhir.json import decode, encode

#: What the server may know better than we do is made where it is missing and never written over.
_CREATE_ONLY = frozenset({"Patient", "Device"})


@dataclass(frozen=True, slots=True)
class Stored:
    """A fact as the server has it: id and version (``meta.versionId``) there, and the fact's own version."""

    id: str
    etag: str
    version: Decimal


def facts(bundle: bytes) -> dict[str, list[str]]:
    """What the server must be asked for before the Bundle is sent: by resource type the ``system|value`` of its versioned facts, escaped for a search.

    Raises as ``transaction``."""
    found: dict[str, list[str]] = {}
    for _, resource in _entries(bundle):
        name = _token(resource)
        if name is not None and fact_version(resource) is not None:
            found.setdefault(str(resource["resourceType"]), []).append(name)
    return found


def stored(resources: Iterable[Object]) -> dict[str, Stored]:
    """What a server answered, by ``system|value``; of several with one identifier none, which the server itself will refuse."""
    found: dict[str, Stored] = {}
    several: set[str] = set()
    for resource in resources:
        name, version = _token(resource), fact_version(resource)
        if name is not None and isinstance(resource.get("id"), str):
            if name in found:
                several.add(name)
            found[name] = Stored(resource["id"], str(resource.get("meta", {}).get("versionId", "")), version or Decimal(0))
    return {name: row for name, row in found.items() if name not in several}


def transaction(bundle: bytes, known: Mapping[str, Stored] = {}) -> bytes:
    """The request. References between the entries are ``urn:uuid`` and are resolved by the server.

    Patient and Device: created where none with their identifier is there. Everything else with an identifier: conditional update.
    What has none (Provenance in R4): update under its own id, which is deterministic. ``known``: of ``facts`` those that the server has.

    Raises:
        MalformedMessage: it is no collection Bundle of resources with a ``fullUrl``.
    """
    entries, elsewhere = [], {}
    for url, resource in _entries(bundle):
        there = known.get(_token(resource) or "")
        version = fact_version(resource)
        if there is None or version is None:
            entries.append(_entry(url, resource))
        elif there.version > version:
            elsewhere[url] = f"{resource['resourceType']}/{there.id}"
        else:
            entries.append(_over(url, resource, there))
    request = encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    for url, reference in elsewhere.items():
        request = request.replace(f'"{url}"'.encode(), f'"{reference}"'.encode())
    return request


def probe(bundle: bytes) -> bytes:
    """A transaction of the Bundle's Devices alone, which are never written over and tell of no patient: a server that takes it takes transactions.

    Raises as ``transaction``."""
    entries = [_entry(url, resource) for url, resource in _entries(bundle) if resource["resourceType"] == "Device"]
    return encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _entries(bundle: bytes) -> list[tuple[str, Object]]:
    try:
        found = decode(bundle)
        if found["resourceType"] != "Bundle" or found["type"] != "collection":
            raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle.type")
        rows = [(row["fullUrl"], row["resource"]) for row in found["entry"]]
        if not all(isinstance(row["resourceType"], str) and isinstance(url, str) for url, row in rows):
            raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle.entry")
    except (KeyError, TypeError):
        raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle.entry") from None
    return rows


def fact_version(resource: Object) -> Decimal | None:
    """Of a fact; ``None`` for what is none."""
    rows = resource.get("extension")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("url") == FACT_VERSION and isinstance(row.get("valueDecimal"), int | Decimal):
            return Decimal(row["valueDecimal"])
    return None


def _over(url: str, resource: Object, there: Stored) -> Object:
    """Onto what the server has, as long as it is what was read."""
    body = resource | {"id": there.id}
    request = {"method": "PUT", "url": f"{resource['resourceType']}/{there.id}"}
    return {"fullUrl": url, "resource": body, "request": request | ({"ifMatch": f'W/"{there.etag}"'} if there.etag else {})}


def _entry(url: str, resource: Object) -> Object:
    kind = str(resource["resourceType"])
    name = _token(resource)
    if name is None:
        try:
            return {"fullUrl": url, "resource": resource, "request": {"method": "PUT", "url": f"{kind}/{resource['id']}"}}
        except KeyError:
            raise MalformedMessage(Reason.MALFORMED_FHIR, path="Bundle.entry") from None
    condition = f"identifier={quote(name, safe=':/.-_~')}"
    # a body whose id is not that of the match is an error by the standard, so that the server gives it
    body = {name: value for name, value in resource.items() if name != "id"}
    if kind in _CREATE_ONLY:
        return {"fullUrl": url, "resource": body, "request": {"method": "POST", "url": kind, "ifNoneExist": condition}}
    return {"fullUrl": url, "resource": body, "request": {"method": "PUT", "url": f"{kind}?{condition}"}}


def _token(resource: Object) -> str | None:
    """``system|value`` of the first identifier that means something outside its message, escaped for a search."""
    rows = resource.get("identifier")
    for row in rows if isinstance(rows, list) else [rows]:
        if isinstance(row, dict) and row.get("system") and row.get("value"):
            return "|".join(_escaped(str(row[name])) for name in ("system", "value"))
    return None


def _escaped(text: str) -> str:
    """https://hl7.org/fhir/R4/search.html#escaping"""
    for sign in "\\$,|":
        text = text.replace(sign, "\\" + sign)
    return text
