"""Whatever mentions are tied to which, the notes of a message become a valid Bundle, and equal messages the same one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.publish.bundle import render
from schemas.findings import MENTION_TYPES, Assertion, Mention, Relation
from schemas.flags import Decision
from tests.support.decide import findings, note

_WORDS = ("aspirin", "allergic", "5 mg", "left", "a\x01b", "hives", "é", "2 weeks ago", "J18.9", '"')
_ASSERTION = st.builds(Assertion, negated=st.booleans(), possible=st.booleans(), historical=st.booleans(), family=st.booleans())
_RELATION = st.tuples(
    st.sampled_from(
        (
            "medication-reason",
            "medication-adverse_event",
            "medication-dosage",
            "medication-route",
            "finding-body_site",
            "test-value",
        )
    ),
    st.integers(0, 9),
    st.integers(0, 9),
)


@st.composite
def _message(draw: st.DrawFn) -> Any:
    text = " ; ".join(_WORDS)
    rows = note(text, *((word, draw(st.sampled_from(MENTION_TYPES)), draw(_ASSERTION)) for word in _WORDS))
    mentions: list[Mention] = [
        msgspec.structs.replace(
            m,
            section=draw(st.sampled_from(("", "allergies", "medications"))),
            laterality=draw(st.sampled_from(("", "left", "bilateral"))),
            onset=draw(st.sampled_from(("", "for 3 days", " ", "\x01"))),
        )
        for m in rows["mentions"]
    ]
    ties = draw(st.lists(_RELATION, max_size=8))
    relations = tuple(
        Relation(id=str(number), type=kind, head=mentions[a].id, tail=mentions[b].id, score=1.0, source="rules/1")
        for number, (kind, a, b) in enumerate(ties)
    )
    return msgspec.structs.replace(findings(1, 0, notes=rows["notes"], mentions=tuple(mentions)), relations=relations)


@settings(deadline=None)
@given(_message())
def test_any_relations_make_a_valid_bundle(message: Any) -> None:
    made = render(Decision(id=message.id, findings=message))
    assert json.loads(made)["resourceType"] == "Bundle"
    assert render(Decision(id=message.id, findings=message)) == made
