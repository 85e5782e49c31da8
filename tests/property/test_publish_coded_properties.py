"""Whatever a sender writes into its fields, the facts of the message become a valid Bundle, and equal messages the same one."""

from __future__ import annotations

import json

import msgspec
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
        "F", "D", "W", "NW", "CA", "SV", "I", "CP", "998^None^CVX", "20260301", "00000000", '""', "-5.1^-^-3",
    )
)  # fmt: skip
_SEGMENT = st.tuples(
    st.sampled_from(("OBX", "DG1", "PRB", "AL1", "IAM", "PR1", "ORC", "RXO", "RXE", "RXD", "RXA", "RXR", "OBR", "SPM")),
    st.lists(_LIKELY | _WORD, max_size=24),
).map(lambda pair: "|".join((pair[0], *pair[1])))


def bundle(segments: list[str], kind: str) -> bytes:
    raw = "\r".join((f"MSH|^~\\&|LAB|NORTH|||20260302||{kind}|1|P|2.5.1", *segments)) + "\r"
    facts = tuple(timed.fact for timed in read_facts(parse(raw.encode()))[0])
    message = msgspec.structs.replace(findings(1, 0, **note("no mention here")), facts=facts, kind=kind)
    return render(Decision(id=message.id, findings=message))


@settings(deadline=None)
@given(st.lists(_SEGMENT, max_size=6), st.sampled_from(("ORU^R01", "VXU^V04", "OML^O21")))
def test_any_fields_make_a_valid_bundle(segments: list[str], kind: str) -> None:
    """Every reference leads to an entry."""
    made = bundle(segments, kind)
    entries = json.loads(made)["entry"]
    named = {entry["fullUrl"] for entry in entries}
    assert all(row["reference"] in named for entry in entries for row in entry["resource"].get("result", ()))
    assert bundle(segments, kind) == made
