"""Whatever a sender writes into its fields, the facts of the message become a valid Bundle, and equal messages the same one."""

from __future__ import annotations

import json

import msgspec
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.publish.bundle import render
from schemas.flags import Decision
from schemas.hl7.er7 import parse
from schemas.hl7.facts import read_facts
from tests.support.decide import findings, note

_WORD = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\x0b\x1c\r\n") | st.sampled_from("^~&\\|"), max_size=12
)
_LIKELY = st.sampled_from(
    (
        "", "NM", "SN", "CE", "DT", "2823-3^Potassium^LN", "6809^Metformin^RXNORM", "5.1", ">^100", "-0", "1e999", "NaN", "mg", "mmol/L", "H~LL",
        "F", "D", "W", "NW", "CA", "SV", "20260301", "00000000", '""', "-5.1^-^-3",
    )
)  # fmt: skip
_SEGMENT = st.tuples(
    st.sampled_from(("OBX", "DG1", "PRB", "AL1", "IAM", "PR1", "ORC", "RXO", "RXE", "RXD", "RXA", "OBR")),
    st.lists(_LIKELY | _WORD, max_size=24),
).map(lambda pair: "|".join((pair[0], *pair[1])))


def bundle(segments: list[str], kind: str = "ORU^R01") -> bytes:
    raw = "\r".join(("MSH|^~\\&|LAB|NORTH|||20260302||ORU^R01|1|P|2.5.1", *segments)) + "\r"
    facts = tuple(timed.fact for timed in read_facts(parse(raw.encode()))[0])
    message = msgspec.structs.replace(findings(1, 0, **note("no mention here")), facts=facts, kind=kind)
    return render(Decision(id=message.id, findings=message))


@settings(deadline=None)
@given(st.lists(_SEGMENT, max_size=6), st.sampled_from(("ORU^R01", "VXU^V04", "ORM^O01")))
def test_any_fields_make_a_valid_bundle(segments: list[str], kind: str) -> None:
    made = bundle(segments, kind)
    resources = json.loads(made)["entry"]
    Bundle.model_validate_json(made)
    names = {entry["fullUrl"] for entry in resources}
    assert {r["reference"] for entry in resources for r in entry["resource"].get("result", ())} <= names
    assert bundle(segments, kind) == made
