"""Every value of a resource with its path, its path without ordinals and its FHIR type; and one leaf read or replaced by path.

Paths: ``Observation.note[0].text``; inside a Bundle ``Bundle.entry[3].resource.note[0].text``. Arrays always carry a 0-based ordinal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from schemas.errors import MalformedMessage, Reason
from schemas.fhir.definitions import Element, element, is_resource

#: Stands in a path without ordinals for an element that FHIR does not define: such a name is the sender's text.
UNKNOWN = "???"

_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)((?:\[\d{1,7}\])*)")


class Node(NamedTuple):
    """One value, primitive or not.

    Attributes:
        name: path without ordinals, starting at the innermost resource (``Observation.note.text``).
        type: FHIR type; empty for an element that FHIR does not define, whose children are not visited.
        parent: the object that holds it; ``parent_type`` that object's type.
        definition: ``None`` for an undefined element and for a resource itself.
    """

    path: str
    name: str
    type: str
    value: Any
    parent: dict[str, Any]
    parent_type: str
    definition: Element | None

    @property
    def leaf(self) -> bool:
        return not isinstance(self.value, dict)


def walk(resource: dict[str, Any], path: str = "", *, nested: bool = True) -> list[Node]:
    """All values below ``resource`` in document order, the root itself not; contained and Bundle resources only when ``nested``.

    A resource inside gives one node with its type before its own values. ``null`` (a placeholder in arrays of primitives) and
    the ``resourceType`` of resources give none. Arrays are visited where FHIR wants a single value too: a sloppy sender hides nothing.
    """
    kind = resource_type(resource)
    nodes: list[Node] = []
    _walk(nodes, resource, kind, path or kind, kind, nested)
    return nodes


# A list that every level appends to costs half of what nested generators cost.
def _walk(nodes: list[Node], holder: dict[str, Any], type_name: str, path: str, name: str, nested: bool) -> None:
    for key, value in holder.items():
        if key == "resourceType" and is_resource(type_name):
            continue
        definition = element(type_name, key)
        if definition is None:
            nodes.append(Node(f"{path}.{key}", f"{name}.{UNKNOWN}", "", value, holder, type_name, None))
        elif type(value) is list:
            for ordinal, item in enumerate(value):
                if item is not None:
                    where = f"{path}.{key}[{ordinal}]"
                    _value(nodes, item, definition, where, f"{name}.{key}", holder, type_name, nested)
        elif value is not None:
            _value(nodes, value, definition, f"{path}.{key}", f"{name}.{key}", holder, type_name, nested)


def _value(
    nodes: list[Node],
    value: Any,
    definition: Element,
    path: str,
    name: str,
    holder: dict[str, Any],
    holder_type: str,
    nested: bool,
) -> None:
    type_name = definition.type
    if type(value) is not dict:
        # an object or array where a primitive belongs, or the reverse, is as unknown as an undefined element
        fits = definition.primitive and type(value) is not list
        nodes.append(Node(path, name, type_name if fits else "", value, holder, holder_type, definition))
    elif definition.primitive:
        nodes.append(Node(path, name, "", value, holder, holder_type, definition))
    elif type_name == "Resource":
        kind = value.get("resourceType")
        known = kind if isinstance(kind, str) and is_resource(kind) else ""
        nodes.append(Node(path, known or name, known, value, holder, holder_type, None))
        if known and nested:
            _walk(nodes, value, known, path, known, nested)
    else:
        nodes.append(Node(path, name, type_name, value, holder, holder_type, definition))
        _walk(nodes, value, type_name, path, name, nested)


def resource_type(resource: dict[str, Any]) -> str:
    """Raises MalformedMessage when the object does not say which resource it is."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        raise MalformedMessage(Reason.MALFORMED_FHIR, path="resourceType")
    return kind


def resources(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The resource itself, or the resources of a Bundle's entries (Bundles in Bundles opened), each with its path."""
    yield from _resources(resource, resource_type(resource))


def _resources(resource: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if resource.get("resourceType") != "Bundle":
        yield path, resource
        return
    entries = resource.get("entry")
    for ordinal, entry in enumerate(entries if isinstance(entries, list) else ()):
        inner = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(inner, dict):
            yield from _resources(inner, f"{path}.entry[{ordinal}].resource")


def contents(root: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    """Every resource of the message with its path: the root, the Bundles' entries, and what resources contain.

    The third is the containing resource, ``None`` for a resource that stands for itself. Resources of unknown types are left out.
    """
    yield from _contents(root, resource_type(root))


def _contents(resource: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    if not is_resource(resource.get("resourceType")):
        return
    yield path, resource, None
    contained = resource.get("contained")
    for ordinal, inner in enumerate(contained if isinstance(contained, list) else ()):
        if isinstance(inner, dict) and is_resource(inner.get("resourceType")):
            yield f"{path}.contained[{ordinal}]", inner, resource
    if resource["resourceType"] == "Bundle":
        entries = resource.get("entry")
        for ordinal, entry in enumerate(entries if isinstance(entries, list) else ()):
            inner = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(inner, dict):
                yield from _contents(inner, f"{path}.entry[{ordinal}].resource")


def read_leaf(resource: dict[str, Any], path: str) -> Any:
    """The value at ``path``. Raises KeyError when it is not there, ValueError when ``path`` is none."""
    value: Any = resource
    for step in _steps(path):
        try:
            value = value[step]
        except (IndexError, TypeError):
            raise KeyError(path) from None
    return value


def set_leaf(resource: dict[str, Any], path: str, value: Any) -> None:
    """Replace what stands at ``path``. Raises as ``read_leaf``."""
    steps = _steps(path)
    if not steps:
        raise ValueError("not a path of a FHIR leaf")
    read_leaf(resource, path)
    parent: Any = resource
    for step in steps[:-1]:
        parent = parent[step]
    parent[steps[-1]] = value


def parent_of(resource: dict[str, Any], path: str) -> dict[str, Any]:
    """The object that holds the element at ``path``."""
    steps = _steps(path)
    parent: Any = resource
    for position, step in enumerate(steps[:-1]):
        if all(isinstance(later, int) for later in steps[position:]):
            break
        parent = parent[step]
    if not isinstance(parent, dict):
        raise KeyError(path)
    return parent


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    for position, part in enumerate(path.split(".")):
        match = _STEP.fullmatch(part)
        if match is None or (position == 0 and match.group(2)):
            raise ValueError("not a path of a FHIR leaf")
        if position:
            steps.append(match.group(1))
            steps += [int(number) for number in re.findall(r"\d+", match.group(2))]
    return steps
