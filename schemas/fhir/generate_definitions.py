"""Writes ``definitions.json`` from the model annotations of fhir.resources R4B (BSD licence; FHIR definitions are CC0).

    python -m schemas.fhir.generate_definitions

One string an element: ``type``, ``*`` when it repeats, ``!`` when it (or one of its choice) is required, ``?base`` when it is
one of a choice, ``>A|B`` what a reference may point to.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path
from typing import Any

import fhir.resources as distribution
from fhir.resources import R4B

#: Names of fhir.resources' annotation classes that differ from FHIR's own by more than the first letter's case.
_PRIMITIVES = {"EncodedBytes": "base64Binary", "UuidVersion": "uuid"}
#: Names that fhir.resources gives to its own base classes.
_RENAMED = {"FHIRPrimitiveExtension": "Element"}
_ABSTRACT = {"Resource", "DomainResource", "FHIRResourceModel"}
_NOT_DATA = {"fhir_comments", "resource_type", "resourceType"}


def main() -> None:
    classes = _classes()
    types = {_RENAMED.get(name, name): _elements(cls) for name, cls in sorted(classes.items())}
    resources = sorted(name for name, cls in classes.items() if "implicitRules" in cls.model_fields and name not in _ABSTRACT)
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row, sort_keys=True)}" for name, row in types.items())
    source = json.dumps(f"fhir.resources {distribution.__version__} R4B")
    # one line a type keeps a regenerated file readable in a diff
    text = f'{{\n"source": {source},\n"resources": {json.dumps(resources)},\n"types": {{\n{rows}\n}}}}\n'
    Path(__file__).with_name("definitions.json").write_text(text)


def _classes() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for info in pkgutil.iter_modules(R4B.__path__):
        if info.name in {"tests", "fhirtypes", "fhirtypesvalidators"}:
            continue
        module = importlib.import_module(f"{R4B.__name__}.{info.name}")
        own = {name: cls for name, cls in vars(module).items() if inspect.isclass(cls) and cls.__module__ == module.__name__}
        found |= {name: cls for name, cls in own.items() if hasattr(cls, "model_fields")}
    return found


def _elements(cls: Any) -> dict[str, str]:
    rows: dict[str, str] = {}
    for field_name, field in cls.model_fields.items():
        name = field.alias or field_name
        extra = field.json_schema_extra or {}
        # ExampleScenario.instance has an element of that name
        if (field_name in _NOT_DATA and not extra.get("element_property")) or field_name.endswith("__ext"):
            continue
        text = str(field.annotation)
        row = _type_name(text, field) + ("*" if "List[" in text else "")
        if extra.get("element_required") or extra.get("one_of_many_required") or field.is_required():
            row += "!"
        if choice := extra.get("one_of_many"):
            row += f"?{choice}"
        if targets := extra.get("enum_reference_types"):
            row += ">" + "|".join(targets)
        rows[name] = row
    return rows


def _type_name(annotation: str, field: Any) -> str:
    if complex_type := re.search(r"abc\.(\w+)Type\b", annotation):
        name: str = complex_type.group(1)
        return _RENAMED.get(name, name)
    if "bool" in annotation:
        return "boolean"
    if "xhtml" in (annotation + str(field.metadata)).lower():
        return "xhtml"
    if primitive := re.search(r"(\w+)\(", annotation):
        name = primitive.group(1)
        return _PRIMITIVES.get(name, name[0].lower() + name[1:])
    raise SystemExit(f"no FHIR type for {annotation}")


if __name__ == "__main__":
    main()
