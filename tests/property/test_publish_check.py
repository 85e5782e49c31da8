"""The memory of shapes against a full validation, over many changed resources."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.publish.bundle import build_bundle
from agents.publish.check import Checker, shape_of
from agents.publish.subject import pseudonymous
from schemas.errors import MalformedMessage, Poison
from schemas.fhir.validate import validate
from tests.support.publish import decided

DECISION = decided()
BUNDLE = build_bundle(DECISION, pseudonymous(DECISION.findings))
RESOURCES = [entry["resource"] for entry in BUNDLE["entry"]]
WARM = Checker()
WARM.check(BUNDLE)

VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            " ",
            "a ",
            " a",
            "\t",
            "a\nb",
            "\x00",
            "\u00a0",
            "\u2028",
            "\x85",
            "é",
            "x" * 70,
            "urn:uuid:1",
            "2026",
            "AA==",
            "active",
            "final",
        ]
    ),
    st.integers(-3, 3),
    st.booleans(),
    st.none(),
    st.just([]),
    st.just({}),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        inner = [place for key, part in value.items() for place in places(part, (*path, key))]
        return [*inner, path] if path else inner
    if isinstance(value, list):
        return [place for n, part in enumerate(value) for place in places(part, (*path, n))]
    return [path]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_shape_hides_a_fault(data: st.DataObject) -> None:
    """Whatever one value is changed to, the warm checker passes it only if a full validation does."""
    resource = copy.deepcopy(data.draw(st.sampled_from(RESOURCES)))
    *way, last = data.draw(st.sampled_from(places(resource)))
    target = resource
    for step in way:
        target = target[step]
    target[last] = data.draw(VALUES)
    try:
        WARM.check({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource}]})
    except Poison:
        return
    try:
        validate(resource)
    except MalformedMessage as error:
        raise AssertionError(f"passed by shape, refused in full at {error.path}: {shape_of(resource)}") from error
