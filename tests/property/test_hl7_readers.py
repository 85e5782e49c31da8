"""Whatever stands in the fields, the readers answer without an exception and change nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import MalformedMessage
from schemas.hl7.batch import split_messages
from schemas.hl7.clinical import fact_time_paths, read_clinical, read_leaf, replace_part
from schemas.hl7.er7 import parse
from schemas.hl7.identity import read_identity

SEGMENTS = ["PID", "PV1", "MRG", "NK1", "IN1", "IN2", "GT1", "ORC", "OBR", "OBX", "NTE", "TXA", "DG1", "AL1", "IAM", "RXA", "RXE", "PR1",
            "PRB", "SPM", "PV2", "ZZZ", "foo"]  # fmt: skip
TYPES = ["TX", "FT", "ST", "NM", "SN", "CE", "CWE", "ED", "RP", "DT", "NR", "XPN", "CX", "", "??"]
LEAF = st.one_of(st.sampled_from(["<5", "1.0", "7", '""', "2023", "Base64", "TEXT", "QUJD", "a b c d e"]), st.text(max_size=8))
FIELD = st.lists(LEAF, max_size=6).flatmap(
    lambda leaves: st.sampled_from(["^", "~", "&", "\\", " "]).map(lambda mark: mark.join(leaves))
)
LINE = st.tuples(st.sampled_from(SEGMENTS), st.sampled_from(TYPES), st.lists(FIELD, max_size=24)).map(
    lambda parts: "|".join([parts[0], "1", parts[1], *parts[2]])
)


@given(st.lists(LINE, max_size=8), st.sampled_from(["^~\\&", "^~\\&#", "^~\\", "^~", "^"]))
@settings(max_examples=150, deadline=None)
def test_readers_take_any_fields(lines: list[str], characters: str) -> None:
    """Identity, notes, facts and coverage of any message; each note part can be replaced and reads back."""
    try:
        message = parse("\r".join([f"MSH|{characters}|A|B|C|D|2024||ORU^R01|1|P|2.5", *lines]).encode())
    except MalformedMessage:
        return
    before = message.encode()
    read_identity(message)
    clinical = read_clinical(message)
    assert set(fact_time_paths(message)) == {fact.path for fact in clinical.facts}
    assert message.encode() == before
    for note in clinical.notes:
        assert [note.text[part.start : part.end] for part in note.parts]
        for part in note.parts:
            replace_part(message, part.path, "clean")
            assert read_leaf(message, part.path) == "clean" or part.path.endswith(".5")
    parse(message.encode())


@given(st.lists(st.sampled_from([b"MSH|^~\\&|", b"BHS|", b"BTS|1", b"FTS|", b"PID|1", b"\r", b"\n", b"x", b"\xff"]), max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_split_or_refused(pieces: list[bytes]) -> None:
    """Every message that comes out begins with MSH."""
    try:
        found = split_messages(b"".join(pieces))
    except MalformedMessage:
        return
    assert all(message.startswith(b"MSH") for message in found)
