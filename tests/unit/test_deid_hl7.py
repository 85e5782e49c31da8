"""HL7 v2 messages through the whole step."""

from __future__ import annotations

import asyncio

import pytest

from agents.vault.memory import MemoryVault
from schemas.deidentified import to_original
from schemas.errors import LeakDetected, MalformedMessage, Reason
from schemas.hl7.er7 import parse
from schemas.message import read_clinical
from tests.support.deid import ADT, HEAD, IDENTIFIERS, NOTE, ORU, clean, deidentifier


def message(*lines: str, kind: str = "ORU^R01") -> bytes:
    return (HEAD.format(kind=kind) + "".join(f"{line}\r" for line in lines)).encode()


@pytest.mark.parametrize("payload", [ADT, ORU], ids=["ADT", "ORU"])
def test_no_identifier_survives(payload: bytes) -> None:
    """Nothing that names the patient, the relatives or the clinicians is left anywhere."""
    out = clean(payload).payload.decode()
    assert [text for text in IDENTIFIERS if text.casefold() in out.casefold()] == []


def test_the_output_is_a_message_of_the_same_kind() -> None:
    """Type, version, processing id and character set stay, times are years, the control id is a token."""
    out = parse(clean(ORU).payload)
    header = out.header
    assert (out.kind, out.version, header.get(11), header.get(18), header.get(7)) == (
        "ORU^R01",
        "2.5.1",
        "P",
        "UNICODE UTF-8",
        "2024",
    )
    assert len(header.get(10)) == 15
    assert len(out.all("OBX")) == len(parse(ORU).all("OBX"))


def test_clinical_content_stays() -> None:
    """Codes, values, units, ranges, flags and statuses are untouched."""
    raw, out = parse(ORU).all("OBX")[0], parse(clean(ORU).payload).all("OBX")[0]
    for field in (1, 2, 3, 5, 6, 7, 8, 11):
        assert out.raw(field) == raw.raw(field)


def test_what_safe_harbor_leaves_of_a_person() -> None:
    """Sex, race, marital status, birth year, state, ZIP3 of a populous area, country; nothing else."""
    pid = parse(clean(ADT).payload).first("PID")
    assert pid is not None
    assert (pid.get(8), pid.get(10), pid.get(7)) == ("M", "2106-3", "1950")
    assert pid.raw(11) == "^^^OH^441^USA^H"
    assert [field for field in (2, 5, 6, 9, 12, 13, 14, 19, 20, 23) if pid.raw(field)] == [2]


def test_every_number_of_the_patient_is_one_token() -> None:
    """PID-2 and both repetitions of PID-3 hold the subject's token; identifier types stay."""
    result = clean(ADT)
    pid = parse(result.payload).first("PID")
    assert pid is not None
    assert pid.get(2) == pid.get(3) == pid.get(3, 2) == result.subject
    assert [pid.get(3, n, 5) for n in (1, 2)] == ["MR", "NH"]


def test_the_same_number_gets_the_same_token_in_every_field() -> None:
    """ORC-2 and OBR-2, the visit and the doctor agree inside a message."""
    out = parse(clean(ORU).payload)
    order, request, result = out.first("ORC"), out.first("OBR"), out.first("OBX")
    assert order is not None
    assert request is not None
    assert result is not None
    assert order.get(2) == request.get(2) != order.get(3) == request.get(3)
    assert len(result.get(16)) == 15
    assert not result.get(16, component=2)


def test_z_segments_and_unknown_segments_are_dropped_and_counted() -> None:
    """What nobody defined cannot be judged."""
    result = clean(message("ZPI|1|anything", "XQ9|secret", "no segment at all"))
    assert {segment.id for segment in parse(result.payload).segments} == {"MSH", "PID", "NK1", "PV1"}
    assert result.coverage.redacted["ZPI"] == 1
    assert result.coverage.redacted["???"] == 2


def test_fields_that_the_standard_does_not_know_are_emptied() -> None:
    """A field beyond the last one of its segment is redacted and counted."""
    result = clean(message("NTE|1|L|fine|||||||||||||hidden text"))
    assert b"hidden" not in result.payload
    assert result.coverage.redacted["NTE-16"] == 1


def test_emptied_fields_are_empty_and_never_null() -> None:
    """HL7's null would tell the receiver to delete."""
    assert b'""' not in clean(ADT).payload


def test_notes_map_back_to_the_original() -> None:
    """Every replaced span of every note leads to exactly what it replaced, and the rest is equal."""
    result = clean(ORU)
    raw, out = ({note.path: note.text for note in read_clinical(parse(p)).notes} for p in (ORU, result.payload))
    assert set(raw) == set(out) == set(result.map.notes)
    (path,) = out
    assert raw[path] == "\n".join(NOTE)
    position = clean_position = 0
    for span in result.map.notes[path]:
        assert raw[path][position : span.start] == out[path][clean_position : span.clean_start]
        assert to_original(result.map.notes[path], span.clean_start, span.clean_end) == (span.start, span.end)
        position, clean_position = span.end, span.clean_end
    assert raw[path][position:] == out[path][clean_position:]


def test_a_name_over_two_lines_is_cut_at_the_line() -> None:
    """A span over the border of two OBX leaves a tag on each side."""
    lines = [f"OBX|{n}|TX|1^N^L||{text}||||||F" for n, text in enumerate(("Discussed with Jonas", "Quillfeather at length."), 1)]
    result = clean(message(*lines))
    assert [obx.get(5) for obx in parse(result.payload).all("OBX")] == ["Discussed with [NAME]", "[NAME] at length."]
    ((first, second),) = result.map.notes.values()
    assert first.end < second.start


def test_times_travel_as_minutes_on_the_patients_clock() -> None:
    """Intervals between results and the message stay exact although the message has years only."""
    result = clean(ORU)
    assert result.map.received is not None
    assert result.map.received - result.map.times["OBX[1]-14"] == 34
    assert result.map.times["OBX[1]-14"] - result.map.times["OBR[1]-7"] == 30
    assert result.map.age_years == 74


def test_an_age_over_89_leaves_no_birth_year() -> None:
    """Birth year, age results and the bare year in a note go with everybody over 89."""
    payload = message("OBX|1|NM|30525-0^Age^LN||94|a|||||F", "NTE|1||Born in 1929, widowed in 1980.").replace(
        b"19500102", b"19290102"
    )
    result = clean(payload)
    out = parse(result.payload)
    pid, obx, nte = out.first("PID"), out.first("OBX"), out.first("NTE")
    assert pid is not None
    assert obx is not None
    assert nte is not None
    assert (pid.raw(7), obx.get(5), nte.get(3), result.map.age_years) == ("", "90", "Born in [DATE], widowed in 1980.", 90)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("OBX|1|ST|1^N^L||Quillfeather", "[NAME]"),
        ("OBX|1|ST|1^N^L||Positive", "Positive"),
        ("OBX|1|CE|1^N^L||Q^Jonas Quillfeather^L", "Q^[NAME]^L"),
        ("OBX|1|NM|1^N^L||100200300", ""),
        ("OBX|1|NM|1^N^L||5.9", "5.9"),
        ("OBX|1|SN|1^N^L||>^100", ">^100"),
        ("OBX|1|TS|1^N^L||20230314", "2023"),
        ("OBX|1|XPN|1^N^L||Quillfeather^Jonas", ""),
        ("OBX|1|RP|1^N^L||https://pacs.example/1", ""),
        ("OBX|1|ED|1^N^L||LAB^application^pdf^Base64^JVBERi0xLjQ=", ""),
        ("OBX|1|ED|1^N^L||LAB^text^plain^A^Seen by Jonas Quillfeather", "^TEXT^plain^Base64^U2VlbiBieSBbTkFNRV0="),
        ("OBX|1|QQ|1^N^L||whatever", ""),
    ],
)
def test_a_value_is_judged_by_its_own_type(line: str, expected: str) -> None:
    """OBX-5 follows OBX-2; what cannot be opened or judged is withheld."""
    obx = parse(clean(message(line)).payload).first("OBX")
    assert obx is not None
    assert obx.raw(5) == expected


@pytest.mark.parametrize(
    ("line", "field"), [("PV1|1|I||||||||||||||||V5512345", 18), ("PV1|1|I||||||||||||||||||VN-88221", 20), ("PV1|1|12345678", 2)]
)
def test_a_number_in_a_coded_field_is_a_number(line: str, field: int) -> None:
    """A code of five digits and more without text and coding system strayed there; it goes, and codes with a system stay."""
    raw = message(line, "DG1|1||195967001^Asthma^SCT").replace(b"PV1|1|I|W2", b"PV2||W2")
    out = parse(clean(raw).payload)
    pv1, dg1 = out.first("PV1"), out.first("DG1")
    assert pv1 is not None
    assert dg1 is not None
    assert pv1.raw(field) == ""
    assert dg1.raw(3) == "195967001^Asthma^SCT"


def test_other_delimiters_and_line_ends_work_too() -> None:
    """A message with its own delimiters is cleaned and keeps them."""
    payload = ADT.replace(b"|", b"!").replace(b"~\\&", b"*\\%").replace(b"~", b"*").replace(b"&", b"%")
    out = clean(payload).payload
    assert out.startswith(b"MSH!^*\\%!")
    assert b"Quillfeather" not in out


def test_a_message_about_nobody_is_keyed_by_its_number() -> None:
    """Without a PID the subject is the token of the control id."""
    payload = b"MSH|^~\\&|A|B|C|D|20240102||MFN^M02|CTRL77|P|2.5.1\rMFI|STF|\r"
    result = clean(payload)
    assert result.subject == parse(result.payload).header.get(10)
    assert result.map.without_patient


def test_a_merge_names_two_patients() -> None:
    """MRG gets the token of the retired number, PID the survivor's."""
    result = clean(message("MRG|555000111^^^NORTHGATE^MR||||||Quillfeather^Jon", kind="ADT^A40"))
    mrg = parse(result.payload).first("MRG")
    assert mrg is not None
    assert len(mrg.get(1)) == 15
    assert mrg.get(1) != result.subject


def test_marks_cannot_be_smuggled_in() -> None:
    """A message that holds the noncharacters that stand for tokens is refused."""
    with pytest.raises(MalformedMessage):
        clean(message("NTE|1||\ufdd00\ufdd1"))


def test_the_gate_holds_when_the_rules_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with the rewriter disabled the leak check refuses, and its error tells no value."""
    step = deidentifier()
    prepared = step.prepare("x-application/hl7-v2+er7", ADT)
    prepared.parsed = parse(ADT)
    monkeypatch.setattr(prepared, "fill", lambda _: None)
    (pseudonyms,) = asyncio.run(MemoryVault(seed=1).resolve([prepared.request]))
    with pytest.raises(LeakDetected) as raised:
        step.apply(prepared, pseudonyms)
    assert raised.value.reason is Reason.LEAK_DETECTED
    assert not any(text in str(raised.value) for text in IDENTIFIERS)
