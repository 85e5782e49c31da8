"""Whether a resource may be published: structure by fhir.resources R4B, required codes and ids by our own table.

Costs 0.3 to 5 ms a resource, 30 to 70 times the readers of this package; meant for the egress and for samples at the ingress.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from schemas.errors import MalformedMessage, Reason
from schemas.fhir.codes import CODES, CONCEPTS
from schemas.fhir.definitions import element, is_resource
from schemas.fhir.values import codings
from schemas.fhir.walk import UNKNOWN, Node, contents, walk

#: http://hl7.org/fhir/R4/datatypes.html#id
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def validate(resource: dict[str, Any], *, reason: Reason = Reason.OUTPUT_INVALID) -> None:
    """Returns when the resource is valid.

    Raises:
        MalformedMessage: with ``reason`` and the path of the first fault; names that FHIR does not define are not repeated.
    """
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or not is_resource(kind):
        raise MalformedMessage(reason, path="resourceType")
    for path, inner, _ in contents(resource):
        if "id" in inner and not (isinstance(inner["id"], str) and _ID.fullmatch(inner["id"])):
            raise MalformedMessage(reason, path=f"{path}.id", detail="not an id")
    for node in walk(resource):
        _check_codes(node, reason)
    try:
        _model(kind).model_validate(resource)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise MalformedMessage(reason, path=_path(kind, first["loc"]), detail=_detail(first["type"])) from None
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError, RecursionError):
        # a value of a shape that the models do not expect
        raise MalformedMessage(reason, path=kind) from None


@cache
def _model(kind: str) -> type[BaseModel]:
    from fhir.resources.R4B import get_fhir_model_class  # half a second that readers need not spend

    return cast("type[BaseModel]", get_fhir_model_class(kind))


def _check_codes(node: Node, reason: Reason) -> None:
    place = (node.parent_type, node.name.rpartition(".")[2])
    allowed = CODES.get(place)
    if allowed is not None and not (isinstance(node.value, str) and node.value in allowed):
        raise MalformedMessage(reason, path=node.path, detail="not a code of the required value set")
    if place in CONCEPTS:
        system, codes = CONCEPTS[place]
        found = [coding.code for coding in codings(node.value) if coding.system == system]
        if not found or not codes.issuperset(found):
            raise MalformedMessage(reason, path=node.path, detail="not a code of the required value set")


def _path(kind: str, location: tuple[int | str, ...]) -> str:
    path, type_name = kind, kind
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            continue
        definition = element(type_name, part)
        if definition is None:
            return path if part == type_name else f"{path}.{UNKNOWN}"
        path, type_name = f"{path}.{part}", definition.type
        if type_name == "Resource":
            return path
    return path


def _detail(code: str) -> str:
    """pydantic's error types are fixed words; those of fhir.resources may be class names."""
    return code if re.fullmatch(r"[a-z_]{1,40}", code) else "invalid"
