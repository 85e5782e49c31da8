"""The HTTP API as an OpenAPI 3.1 document, made from the forms that the code decodes and encodes.

``python -m ops.console.openapi docs/reference/openapi.yaml`` writes it; a test keeps it current.
https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from ops.annotate import Item
from ops.console.contract import (
    OWN_CODES,
    Alive,
    Annotation,
    EntityAnswer,
    EntityQuestion,
    Error,
    FlagAnswer,
    FlagQuestion,
)
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import Reason

Node = dict[str, Any]
_FORMS = (Item, EntityQuestion, FlagQuestion, Annotation, EntityAnswer, FlagAnswer, Error, Alive)
_ERRORS = {
    "400": "the body cannot be read",
    "401": "a valid bearer token is needed",
    "408": "the body did not come in time",
    "413": "the body is larger than `api.max_body_bytes`",
    "415": "no such content type here",
    "422": "readable, but of a wrong form, not supported, or held back by the leak check",
    "429": "too many requests at a time; come back after `retry-after` seconds",
    "500": "our own fault; the code says which",
}


def document() -> Node:
    """The whole document as plain data."""
    schemas, components = msgspec.json.schema_components(_FORMS, ref_template="#/components/schemas/{name}")
    refs = dict(zip(_FORMS, schemas, strict=True))
    components["Problem"]["properties"]["code"]["enum"] = sorted({*OWN_CODES, *(reason.value for reason in Reason)})
    json = {"schema": refs[Item]}
    bare = {"schema": {"type": "string"}}
    paths: Node = {
        "/v1/annotate": _post(
            "De-identify, extract and decide one message or text",
            {"application/json": json, "text/plain": bare, HL7_V2: bare, FHIR_JSON: {"schema": {"type": "object"}}},
            refs[Annotation],
        ),
        "/v1/explain/entity": _post(
            "Which words of its sentence an entity rests on: what its score loses without each of them",
            {"application/json": {"schema": refs[EntityQuestion]}},
            refs[EntityAnswer],
            absent="no entity at that place",
        ),
        "/v1/explain/flag": _post(
            "Why flags were raised, what would clear them, and what every other rule came to",
            {"application/json": {"schema": refs[FlagQuestion]}},
            refs[FlagAnswer],
        ),
        "/livez": _get("The process is alive", "application/json", refs[Alive]),
        "/metrics": _get("Prometheus metrics", "text/plain", {"type": "string"}),
        "/openapi.json": _get("This document", "application/json", {"type": "object"}),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wardstream annotation API",
            "version": "1.0.0",
            "description": (
                "One message or text a request, de-identified before anything reads it. Each request stands alone: nothing of it is stored or "
                "logged, and messages of one patient do not see each other. Flags are decision support and preliminary. Offsets are "
                "Unicode code points, end exclusive."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {status: _refusal(words, refs[Error]) for status, words in {**_ERRORS, "404": "not found"}.items()},
        },
    }


def _post(summary: str, content: Node, answer: Node, absent: str = "") -> Node:
    refused = [*_ERRORS, *(["404"] if absent else [])]
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": content},
            "responses": {
                "200": {"description": "answered", "content": {"application/json": {"schema": answer}}},
                **{status: {"$ref": f"#/components/responses/{status}"} for status in sorted(refused)},
            },
        }
    }


def _get(summary: str, media_type: str, schema: Node) -> Node:
    return {
        "get": {
            "summary": summary,
            "security": [],
            "responses": {"200": {"description": "answered", "content": {media_type: {"schema": schema}}}},
        }
    }


def _refusal(words: str, error: Node) -> Node:
    return {"description": words, "content": {"application/json": {"schema": error}}}


def render() -> str:
    """The document as YAML."""
    return yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
