"""Whatever a note's mentions and their relations are, they become a valid R4 Bundle whose references lead somewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.publish.bundle import render
from schemas.clinical import Coding
from schemas.findings import MENTION_TYPES, Assertion, Mention, Onset, Relation
from schemas.flags import Decision
from tests.support.decide import DAY, findings, note

TEXT = "Allergies: penicillin - hives. Left knee pain for 3 days on ibuprofen 400 mg daily \U0001f600 for 5 days."
_WORDS = st.text(min_size=1, max_size=8) | st.sampled_from(("pain", "400 mg", "since 2019", " ", "\x00", "left", "5.1 mmol/L"))
_PERIODS = st.sampled_from(("", "P3D", "P2W", "P1M", "P9999D", "PT4H", "P1Y2M", "nonsense"))
_KINDS = tuple(f"medication-{part}" for part in ("dosage", "form", "route", "frequency", "duration", "reason", "adverse_event"))
_ASSERTION = st.builds(Assertion, negated=st.booleans(), possible=st.booleans(), historical=st.booleans(),
                       hypothetical=st.booleans(), family=st.booleans())  # fmt: skip
_ONSET = st.builds(Onset, words=_WORDS, start=st.just(0), end=st.just(3), ago=_PERIODS, age=st.none() | st.integers(0, 99),
                   replaced=st.booleans())  # fmt: skip
_CODES = st.lists(
    st.builds(Coding, system=st.sampled_from(("", "L", "http://loinc.org")), code=_WORDS, display=_WORDS), max_size=2
).map(tuple)


@st.composite
def _mentions(draw: st.DrawFn) -> tuple[Mention, ...]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(TEXT) - 1))
        found.append(
            Mention(
                id=f"m{number}",
                note="OBX[1]-5",
                start=start,
                end=draw(st.integers(start + 1, len(TEXT))),
                text="x" + draw(_WORDS),
                type=draw(st.sampled_from(MENTION_TYPES)),
                score=draw(st.floats(0, 1)),
                source="rules/1",
                assertion=draw(_ASSERTION),
                section=draw(st.sampled_from(("", "allergies", "medications"))),
                codes=draw(_CODES),
                period=draw(_PERIODS),
                laterality=draw(st.sampled_from(("", "left", "right", "bilateral"))),
                onset=draw(st.none() | _ONSET),
            )
        )
    return tuple(found)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str) and value["reference"].startswith("urn:uuid:"):
            yield value["reference"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


@settings(deadline=None, max_examples=60)
@given(_mentions(), st.data())
def test_any_mentions_make_a_valid_bundle(mentions: tuple[Mention, ...], data: st.DataObject) -> None:
    ends = st.sampled_from([m.id for m in mentions] or ["gone"]) | st.just("gone")
    kinds = st.sampled_from((*_KINDS, "test-value", "finding-body_site"))
    pairs = data.draw(st.lists(st.tuples(kinds, ends, ends), max_size=8))
    relations = tuple(
        Relation(id=f"r{n}", type=kind, head=head, tail=tail, score=1.0, source="rules/1")
        for n, (kind, head, tail) in enumerate(pairs)
    )
    rest = note(TEXT) | {"mentions": mentions, "relations": relations}
    message = findings(1, data.draw(st.none() | st.integers(-(2**40), 2**40) | st.just(DAY)), **rest)
    raw = render(Decision(id=message.id, findings=message))
    Bundle.model_validate_json(raw)
    made = json.loads(raw)
    known = {entry["fullUrl"] for entry in made["entry"]}
    assert set(_references(made)) <= known
