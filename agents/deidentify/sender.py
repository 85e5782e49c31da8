"""Who sent a message and where its patient was then, as received: what the pseudonyms in its map are keyed hashes of.

Both say nothing of a person. They are read before the fields are cleaned, because most policies take a ward out altogether.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.fhir.values import Object, codings, first_object, string
from schemas.fhir.walk import contents
from schemas.hl7.er7 import Message
from schemas.message import Parsed

_SEPARATOR = "\x1f"
#: References that mean something in one message only.
_LOCAL = ("urn:", "#")


@dataclass(frozen=True, slots=True)
class Sender:
    """``name``: of the sending application and its house. In clear, empty where the message does not say; to be tokenized at once."""

    name: str = ""
    department: str = ""

    def __repr__(self) -> str:
        return "<Sender>"


def read_sender(parsed: Parsed) -> Sender:
    """HL7 v2: MSH-3 and MSH-4; PV1-10 (service), else PV1-3 (point of care). FHIR: ``MessageHeader.source``, else ``meta.source``, else who is
    responsible for the document or the encounter; ``Encounter.serviceType``, else where the encounter is.

    A ``meta.source`` ends at its fragment, which names the single message (http://hl7.org/fhir/R4/resource.html#Meta).
    """
    return _of_hl7(parsed) if isinstance(parsed, Message) else _of_fhir(parsed)


def _of_hl7(message: Message) -> Sender:
    header, visit = message.header, message.first("PV1")
    name = [_said(header.get(field)) or _said(header.get(field, component=2)) for field in (3, 4)]
    service, ward = (_said(visit.get(field)) if visit is not None else "" for field in (10, 3))
    return Sender(_SEPARATOR.join(name) if any(name) else "", _first(_named("service", service), _named("ward", ward)))


def _said(text: str) -> str:
    text = text.strip()
    return "" if text == '""' else text


def _of_fhir(root: Object) -> Sender:
    resources = [resource for _, resource, container in contents(root) if container is None]
    encounters = [resource for resource in resources if resource["resourceType"] == "Encounter"]
    return Sender(
        _first(*map(_header_source, resources), *map(_meta_source, resources), *map(_responsible, resources)),
        _first(*map(_service, encounters), *map(_place, encounters)),
    )


def _header_source(resource: Object) -> str:
    source = first_object(resource.get("source")) if resource["resourceType"] == "MessageHeader" else {}
    return string(source, "endpoint") or string(source, "name")


def _meta_source(resource: Object) -> str:
    return string(first_object(resource.get("meta")), "source").partition("#")[0]


def _responsible(resource: Object) -> str:
    return _first(*(_referred(first_object(resource.get(element))) for element in ("custodian", "serviceProvider")))


def _service(encounter: Object) -> str:
    concept = encounter.get("serviceType")
    code = next((_SEPARATOR.join((coding.system, coding.code)) for coding in codings(concept) if coding.code), "")
    return _named("service", code or string(first_object(concept), "text"))


def _place(encounter: Object) -> str:
    return _named("ward", _referred(first_object(first_object(encounter.get("location")).get("location"))))


def _referred(reference: Object) -> str:
    literal, identifier = string(reference, "reference"), first_object(reference.get("identifier"))
    number = string(identifier, "value")
    return _first(
        _SEPARATOR.join((string(identifier, "system"), number)) if number else "",
        "" if literal.startswith(_LOCAL) else literal,
        string(reference, "display"),
    )


def _named(kind: str, value: str) -> str:
    return f"{kind}{_SEPARATOR}{value}" if value else ""


def _first(*values: str) -> str:
    return next(filter(None, values), "")
