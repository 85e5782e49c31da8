"""Whatever element a rule takes out, a valid resource stays valid: every type with a required element, every required element."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.deidentify.policy import FhirPolicy, Policy, load_policy
from agents.deidentify.step import Deidentified, Deidentifier
from agents.vault.memory import MemoryVault
from schemas.envelope import FHIR_JSON
from schemas.errors import LeakDetected, MalformedMessage
from schemas.fhir.codes import CODES, CONCEPTS
from schemas.fhir.definitions import Element, elements, resource_names
from schemas.fhir.json import decode, encode
from schemas.fhir.validate import validate

#: A value of each primitive type that its validation takes.
VALUES: Mapping[str, Any] = {
    "base64Binary": "YQ==", "boolean": True, "canonical": "http://hl7.org/fhir/x", "code": "x", "date": "2024-01-02",
    "dateTime": "2024-01-02T03:04:05Z", "decimal": 1, "id": "x1", "instant": "2024-01-02T03:04:05Z", "integer": 1, "markdown": "x",
    "oid": "urn:oid:1.2.3", "positiveInt": 1, "string": "x", "time": "03:04:05", "unsignedInt": 1, "uri": "http://hl7.org/fhir/x",
    "url": "http://hl7.org/fhir/x", "uuid": "urn:uuid:0f1e2d3c-0000-4000-8000-000000000001",
    "xhtml": "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>",
}  # fmt: skip
SAFE_HARBOR = load_policy("safe_harbor")


def required(kind: str) -> Iterator[tuple[str, Element]]:
    """Required elements, one of each required choice."""
    chosen: set[str] = set()
    for name, definition in elements(kind).items():
        if definition.required and definition.choice not in chosen:
            chosen.update([definition.choice] if definition.choice else [])
            yield name, definition


def sample(kind: str, name: str, definition: Element) -> Any:
    """A valid value of an element, with no more in it than must be there."""
    if (codes := CODES.get((kind, name))) is not None:
        value: Any = sorted(codes)[0]
    elif (concept := CONCEPTS.get((kind, name))) is not None:
        value = {"coding": [{"system": concept[0], "code": sorted(concept[1])[0]}]}
    elif definition.primitive:
        value = VALUES[definition.type]
    elif definition.type == "Resource":
        value = {"resourceType": "Basic", "code": {"text": "x"}}
    else:
        value = smallest(definition.type) or {"id": "x"}
    return [value] if definition.array else value


def smallest(kind: str) -> dict[str, Any]:
    return {name: sample(kind, name, definition) for name, definition in required(kind)}


@cache
def holders() -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """Type -> a resource and the way from it to the type; the shortest."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {name: (name, ()) for name in resource_names()}
    todo = deque(found)
    while todo:
        kind = todo.popleft()
        root, way = found[kind]
        for name, definition in elements(kind).items():
            if not definition.primitive and definition.type not in ("Resource", "Extension") and definition.type not in found:
                found[definition.type] = (root, (*way, name))
                todo.append(definition.type)
    return found


def around(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """The smallest valid resource in which ``value``, of type ``kind``, stands."""
    root, way = holders()[kind]
    if not way:
        return {"resourceType": root, **value}
    resource: dict[str, Any] = {"resourceType": root, **smallest(root)}
    node, at = resource, root
    for name in way:
        definition = elements(at)[name]
        inner = value if name is way[-1] else smallest(definition.type)
        if definition.choice:
            for other in [
                n for n, found in elements(at).items() if n in node and n != name and found.choice == definition.choice
            ]:
                del node[other]
        node[name] = [inner] if definition.array else inner
        node, at = inner, definition.type
    return resource


def taken_out(resource: dict[str, Any], policy: Policy) -> Deidentified:
    step = Deidentifier(policy)
    prepared = step.prepare(FHIR_JSON, encode(resource))
    (pseudonyms,) = asyncio.run(MemoryVault(seed=1).resolve([prepared.request]))
    return step.apply(prepared, pseudonyms)


def rules(fhir: FhirPolicy) -> Policy:
    return replace(SAFE_HARBOR, fhir=fhir)


def keeps_all_but(kind: str, name: str, *, listed: bool) -> Policy:
    """Rules that keep everything but one element; ``listed``: its type is a datatype whose elements the rules list."""
    types: dict[str, str | Mapping[str, str]] = dict.fromkeys(VALUES, "keep")
    if listed:
        types[kind] = {n: "keep" if d.primitive else "recurse" for n, d in elements(kind).items() if n != name}
    elements_out = {} if listed else {(kind, name): "redact"}
    return rules(FhirPolicy(types, {}, elements_out, frozenset(), (), "PSEUDED", frozenset()))


def faults(resource: dict[str, Any], policy: Policy, label: str) -> list[str]:
    try:
        validate(decode(taken_out(resource, policy).payload))
    except MalformedMessage as error:
        return [f"{label}: {error.path}"]
    return []


KINDS = sorted(kind for kind in holders() if any(required(kind)))


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("initial", sorted({kind[0] for kind in KINDS}))
def test_a_required_element_that_goes_leaves_a_valid_resource(initial: str, listed: bool) -> None:
    """Each required element of each type alone taken out, whether rules name the element or list those of its type."""
    wrong: list[str] = []
    for kind in [k for k in KINDS if k[0] == initial]:
        for name, definition in elements(kind).items():
            if definition.required and not (listed and not holders()[kind][1]):
                value = smallest(kind)
                for other in [n for n in value if definition.choice and elements(kind)[n].choice == definition.choice]:
                    del value[other]
                resource = around(kind, {**value, name: sample(kind, name, definition)})
                validate(resource)
                wrong += faults(resource, keeps_all_but(kind, name, listed=listed), f"{kind}.{name}")
    assert wrong == []


def test_nothing_left_of_any_type_is_a_valid_resource() -> None:
    """Rules that name nothing redact everything; what must be there says that it is masked."""
    nothing = rules(FhirPolicy({}, {}, {}, frozenset(), (), "PSEUDED", frozenset()))
    wrong = [fault for kind in KINDS for fault in faults(around(kind, smallest(kind)), nothing, kind)]
    assert wrong == []


@pytest.mark.parametrize("profile", ["safe_harbor", "limited", "expert", "internal"])
def test_the_shipped_profiles_leave_every_type_valid(profile: str) -> None:
    """The same under the rules that people run."""
    policy = load_policy(profile)
    wrong = [fault for kind in KINDS for fault in faults(around(kind, smallest(kind)), policy, kind)]
    assert wrong == []


def instances(kind: str, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of a type with what must be there and some of what may."""
    may = [n for n, d in elements(kind).items() if not d.required and not d.choice and d.type not in ("Resource", "Extension")]
    chosen = st.lists(st.sampled_from(may), max_size=4, unique=True) if may and depth else st.just([])

    def built(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        rows = {**dict(required(kind)), **{n: elements(kind)[n] for n in names if n != "modifierExtension"}}
        return st.fixed_dictionaries({n: values(kind, n, d, depth) for n, d in rows.items()})

    return chosen.flatmap(built)


def values(kind: str, name: str, definition: Element, depth: int) -> st.SearchStrategy[Any]:
    if definition.primitive or definition.type == "Resource" or (kind, name) in CONCEPTS or not depth:
        return st.just(sample(kind, name, definition))
    inner = instances(definition.type, depth - 1).map(lambda value: value or {"id": "x"})
    return st.lists(inner, min_size=1, max_size=2) if definition.array else inner


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_elements_of_any_resource_may_go(data: st.DataObject) -> None:
    """Random resources under rules that take random elements out at every depth."""
    kind = data.draw(st.sampled_from(sorted(resource_names())))
    resource = {"resourceType": kind, **data.draw(instances(kind, 2))}
    try:
        validate(resource)
    except MalformedMessage:  # a code of an optional element that its value set does not hold
        return
    places = sorted(found(resource, kind))
    gone = data.draw(st.sets(st.sampled_from(places)))
    types: dict[str, str | Mapping[str, str]] = dict.fromkeys(VALUES, "keep")
    policy = rules(FhirPolicy(types, {}, dict.fromkeys(gone, "redact"), frozenset(), (), "PSEUDED", frozenset()))
    try:
        assert faults(resource, policy, kind) == []
    except LeakDetected:  # rules that keep a birth date do not get past the gate
        return


def found(value: dict[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    """(type, element) of everything in an object."""
    yield (kind, "resourceType")
    for name, child in value.items():
        definition = elements(kind).get(name)
        if definition is not None:
            yield (kind, name)
            for item in child if isinstance(child, list) else [child]:
                if isinstance(item, dict) and definition.type != "Resource":
                    yield from found(item, definition.type)
