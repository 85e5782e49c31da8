"""One way into a native message, whatever its format: parse, read what it says clinically, replace one piece of text.

Free of the types that hold identifiers, so that stages past de-identification may use it; the other reader is
``schemas.identity_reader``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from schemas.clinical import ClinicalMessage
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import MalformedMessage, Reason, UnsupportedContent
from schemas.fhir import clinical as fhir_clinical
from schemas.fhir import json as fhir_json
from schemas.fhir.definitions import is_resource
from schemas.hl7 import clinical as hl7_clinical
from schemas.hl7 import er7
from schemas.media_type import split_media_type

Parsed: TypeAlias = er7.Message | dict[str, Any]

_HL7 = frozenset({HL7_V2, "x-application/hl7-v2+er7", "application/hl7-v2", "application/hl7-v2+er7"})
_FHIR = frozenset({FHIR_JSON, "application/fhir+json", "application/json+fhir", "application/json", "text/json"})
#: FHIR releases whose resources the R4 definitions describe (``fhirVersion`` parameter, http://hl7.org/fhir/R4/http.html#version-parameter).
_RELEASES = frozenset({"", "4.0", "4.3"})


def parse(content_type: str, payload: bytes) -> Parsed:
    """An HL7 v2 message, or a FHIR resource as nested dicts.

    Args:
        content_type: ``x-application/hl7-v2+er7``, ``application/fhir+json; fhirVersion=4.0``, ``application/json``; parameters
            other than ``fhirVersion`` do not matter, FHIR JSON is UTF-8 by definition.

    Raises:
        UnsupportedContent: another content type, FHIR release or resource type.
        MalformedMessage: the payload cannot be read.
    """
    kind, parameters = split_media_type(content_type)
    if kind in _HL7:
        return er7.parse(payload)
    if kind not in _FHIR:
        raise UnsupportedContent(Reason.UNSUPPORTED_CONTENT_TYPE)
    if parameters.get("fhirversion", "") not in _RELEASES:
        raise UnsupportedContent(Reason.UNSUPPORTED_VERSION, path="content-type")
    resource = fhir_json.decode(payload)
    named = resource.get("resourceType")
    if not isinstance(named, str):
        raise MalformedMessage(Reason.MALFORMED_FHIR, path="resourceType")
    if not is_resource(named):
        raise UnsupportedContent(Reason.UNSUPPORTED_RESOURCE, path="resourceType")
    return resource


def encode(parsed: Parsed) -> bytes:
    """The message as it goes on the wire; byte-equal for an unedited HL7 v2 message, compact JSON for FHIR."""
    return fhir_json.encode(parsed) if isinstance(parsed, dict) else parsed.encode()


def read_clinical(parsed: Parsed) -> ClinicalMessage:
    return fhir_clinical.read_clinical(parsed) if isinstance(parsed, dict) else hl7_clinical.read_clinical(parsed)


def fact_time_paths(parsed: Parsed) -> dict[str, str]:
    """``Fact.path`` -> path of the date that the fact's time was read from."""
    return fhir_clinical.fact_time_paths(parsed) if isinstance(parsed, dict) else hl7_clinical.fact_time_paths(parsed)


def fact_paths(parsed: Parsed) -> dict[str, tuple[str, str]]:
    """``Fact.path`` -> paths of the dates that the fact's time and the time in its version were read from; FHIR versions hold no time."""
    if isinstance(parsed, dict):
        return {path: (time, "") for path, time in fhir_clinical.fact_time_paths(parsed).items()}
    return hl7_clinical.fact_paths(parsed)


def replace_part(parsed: Parsed, path: str, text: str) -> None:
    """Put ``text`` where ``path`` of a ``NotePart`` points, so that reading the message again gives exactly ``text`` there.

    Raises:
        KeyError: nothing stands at ``path``.
        ValueError: not a path.
    """
    if isinstance(parsed, dict):
        fhir_clinical.replace_part(parsed, path, text)
    else:
        hl7_clinical.replace_part(parsed, path, text)


def add_picture(parsed: Parsed, path: str, data: bytes, media_type: str) -> str | None:
    """Put a picture beside the attachment at ``path``; its own path, or ``None`` where there is no room for another.

    Raises:
        KeyError: nothing stands at ``path``.
        ValueError: not a path.
    """
    if isinstance(parsed, dict):
        return fhir_clinical.add_picture(parsed, path, data, media_type)
    return hl7_clinical.add_picture(parsed, path, data, media_type)
