"""The re-identified result: the right person, the right dates, spans of the note as received, and an audit entry for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decide.context import PatientContext
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider
from agents.publish.release import Released, release
from agents.vault.contract import PatientRecord
from schemas.errors import Poison, Reason
from schemas.fhir.validate import validate
from schemas.flags import Decision, Flag
from schemas.hl7.er7 import Message, parse
from schemas.identity import Identifier, Person, PersonName, PostalAddress, Role
from schemas.ids import derived_id
from tests.support.decide import DAY, TOKEN, creatinine, findings
from tests.support.publish import EPOCH, RECORD, clinical_message, decided

GOLDEN = Path(__file__).parents[1] / "golden" / "publish"


def released(decision: Decision | None = None, record: PatientRecord | None = RECORD, *, oru: bool = True) -> Released:
    return release(decision or decided(), record, application="WARDSTREAM", facility="NLP", oru=oru)


def entries(result: Released) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in json.loads(result.bundle)["entry"]]


def message(result: Released) -> Message:
    assert result.oru is not None
    return parse(result.oru)


def test_the_patient_is_the_person_of_the_vault() -> None:
    """Names, numbers with their authorities, address and birth date as they were received."""
    patient = entries(released())[0]
    assert patient["name"] == [{"family": "O^Testperson", "given": ["Ada", "Quill"], "prefix": ["Dr"]}]
    assert patient["identifier"][0]["system"] == "urn:oid:2.16.840.1.113883.19.5"
    assert patient["identifier"][0]["value"] == "4711"
    assert (patient["birthDate"], patient["gender"]) == ("1961-02-03", "female")


def test_no_pseudonym_goes_with_the_identity() -> None:
    """The token and the ids made of tokens stay out of the Bundle and of the ORU."""
    result = released()
    assert result.oru is not None
    for payload in (result.bundle, result.oru):
        assert TOKEN.encode() not in payload
        assert b"order-1" not in payload


def test_spans_are_those_of_the_note_as_received() -> None:
    """Offsets are mapped back, and nothing of the de-identified text is published."""
    decision = decided()
    found = entries(released(decision))
    mention = next(m for m in decision.findings.mentions if m.text == "Pneumonia")
    condition = next(r for r in found if r["resourceType"] == "Condition")
    parts = {part["url"]: part for part in condition["extension"][0]["extension"]}
    assert mention.original is not None
    assert (parts["begin"]["valueUnsignedInt"], parts["end"]["valueUnsignedInt"]) == (
        mention.original.start,
        mention.original.end,
    )
    assert parts["text"]["valueCode"] == "as-received"
    assert "sha256" not in parts
    document = next(r for r in found if r["resourceType"] == "DocumentReference")
    assert "data" not in document["content"][0]["attachment"]


def test_dates_are_restored_from_the_patient_s_clock() -> None:
    """From HL7 v2, whose times have no zone, FHIR gets the date and HL7 the minute; from FHIR both get the instant."""
    result = released()
    issue = next(r for r in entries(result) if r["resourceType"] == "DetectedIssue")
    assert issue["identifiedDateTime"] == "2026-03-02"
    assert message(result).all("OBX")[0].get(14) == "202603020000"
    fhir = released(decided(clinical_message(version="fhir")))
    issue = next(r for r in entries(fhir) if r["resourceType"] == "DetectedIssue")
    assert issue["identifiedDateTime"] == "2026-03-02T00:00:00Z"
    assert fhir.oru is None


def test_the_audit_entry_names_nobody() -> None:
    """Who was told what about which token, for which purpose."""
    audit = released().audit
    assert (audit.action, audit.outcome, audit.purpose, audit.subject) == ("reidentify", "success", "TREAT", TOKEN)
    raw = msgspec.json.encode(audit)
    for word in (b"4711", b"Testperson", b"Ada"):
        assert word not in raw


def test_an_unknown_token_releases_nothing() -> None:
    """An erased patient's result is refused with a code."""
    with pytest.raises(Poison) as caught:
        released(record=None)
    assert caught.value.reason is Reason.UNKNOWN_TOKEN


def test_the_message_is_an_oru_of_preliminary_observations() -> None:
    """Header, panel and one OBX for each flag, with interpretation, status P and the rule as the instrument."""
    oru = message(released())
    header, request = oru.first("MSH"), oru.first("OBR")
    assert header is not None
    assert request is not None
    assert (oru.kind, oru.version) == ("ORU^R01", "2.5.1")
    assert (header.get(3), header.get(4), header.get(15), header.get(16), header.get(18)) == (
        "WARDSTREAM", "NLP", "AL", "NE", "UNICODE UTF-8",
    )  # fmt: skip
    assert len(header.get(10)) == 20
    assert (request.get(4), request.get(25)) == ("NLP-FLAG", "P")
    rows = {row.get(3): row for row in oru.all("OBX")}
    assert set(rows) == {"aki.kdigo", "drug.allergy", "egfr.drop"}
    aki = rows["aki.kdigo"]
    assert (aki.get(2), aki.get(8), aki.get(11), aki.get(18)) == ("CWE", "A", "P", "aki.kdigo")
    assert aki.get(5, component=2).startswith("Possible AKI stage 1")
    assert any("Input: Creatinine: 1.9 mg/dL" in note.get(3) for note in oru.all("NTE"))


def test_values_with_delimiters_are_escaped() -> None:
    """A name or number that holds HL7's delimiters arrives as it is."""
    identity = message(released()).first("PID")
    assert identity is not None
    assert identity.get(5) == "O^Testperson"
    assert identity.get(3, 2) == "A|9"
    assert identity.get(3, 1, 4, 2) == "2.16.840.1.113883.19.5"
    assert identity.get(11) == "1 Example & Sons Way"
    assert (identity.get(7), identity.get(8)) == ("19610203", "F")


def matched(oru: Message) -> list[tuple[str, str, str]]:
    """By what a receiver finds an earlier result: filler order number, observation, sub-id."""
    requests, results = oru.all("OBR"), oru.all("OBX")
    return [(one.get(3), row.get(3), row.get(4)) for one, row in zip(requests, results, strict=True)]


def stay(flag: Flag, **changes: object) -> Decision:
    return msgspec.structs.replace(
        decided(), id=derived_id(decided().id, "test"), flags=(msgspec.structs.replace(flag, **changes),)
    )


@pytest.mark.parametrize(
    ("changes", "status"), [({"withdrawn": True}, "W"), ({"resolved": True}, "P"), ({"severity": "critical"}, "P")]
)
def test_a_later_flag_takes_the_place_of_the_earlier(changes: dict[str, object], status: str) -> None:
    """Taken back, passed or escalated: the ids that a receiver matches by are those of the first message; only what was wrong is W."""
    first, flag = message(released()), decided().flags[0]
    later = message(released(stay(flag, id="11111111-1111-5111-8111-111111111111", supersedes=flag.id, **changes)))
    assert matched(later) == matched(first)[:1]
    assert later.header.get(10) != first.header.get(10)
    assert later.all("OBX")[0].get(11) == status
    assert f"in place of {flag.id}" in later.all("NTE")[0].get(3)


def test_flags_about_different_things_never_take_each_others_place() -> None:
    """Each flag of a message, and the same flag of another patient, has ids of its own, and none shows the token."""
    oru = message(released())
    assert len(set(matched(oru))) == len(oru.all("OBX")) == 3
    flag = decided().flags[0]
    other = stay(flag, suppress_key=flag.suppress_key.replace(TOKEN, "W000000000OTHER"))
    assert matched(message(released(other))) != matched(oru)[:1]
    assert TOKEN not in oru.encode().decode()


def test_withdrawals_of_the_rules_keep_the_ids() -> None:
    """The decider's own withdrawal of an AKI whose creatinine was corrected: the same filler number and observation."""
    decider, context = Decider(RuleSet.load()), PatientContext()
    _, context = decider.decide(findings(0, DAY, creatinine("order-0/2160-0/", "1.0", DAY)), context)
    raised, context = decider.decide(findings(1, 2 * DAY, creatinine("order-1/2160-0/", "1.9", 2 * DAY)), context)
    fixed, _ = decider.decide(findings(2, 2 * DAY, creatinine("order-1/2160-0/", "1.0", 2 * DAY, version=2)), context)
    first, later = message(released(raised)), message(released(fixed))
    taken_back = {ids for ids, row in zip(matched(later), later.all("OBX"), strict=True) if row.get(11) == "W"}
    assert {ids[1] for ids in taken_back} >= {"aki.kdigo"}
    assert taken_back <= set(matched(first))


def test_without_flags_there_is_no_message() -> None:
    """Nobody is sent an empty panel."""
    assert released(msgspec.structs.replace(decided(), flags=())).oru is None
    assert released(oru=False).oru is None


def test_equal_decisions_give_equal_bytes() -> None:
    """A replay sends the same control id with the same bytes, so that receivers can drop it."""
    first, second = released(), released()
    assert (first.bundle, first.oru, first.audit) == (second.bundle, second.oru, second.audit)


def test_golden_oru() -> None:
    """The whole message as a person can read it; after a wanted change: delete the file and run the test twice."""
    oru = released().oru
    assert oru is not None
    text = oru.decode().replace("\r", "\n")
    file = GOLDEN / "oru.hl7"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        pytest.fail("the golden file was missing and has been written: read it, then run again")
    assert text == file.read_text("utf-8")


TEXT = st.text(max_size=12)
PEOPLE = st.builds(
    Person,
    role=st.just(Role.PATIENT),
    names=st.lists(
        st.builds(PersonName, family=TEXT, given=st.lists(TEXT, max_size=3).map(tuple), prefix=TEXT, suffix=TEXT, text=TEXT),
        max_size=2,
    ).map(tuple),
    identifiers=st.lists(st.builds(Identifier, value=TEXT, system=TEXT, type=st.sampled_from(["", "MR", "SS"])), max_size=3).map(
        tuple
    ),
    phones=st.lists(TEXT, max_size=2).map(tuple),
    emails=st.lists(TEXT, max_size=2).map(tuple),
    addresses=st.lists(
        st.builds(
            PostalAddress, lines=st.lists(TEXT, max_size=3).map(tuple), city=TEXT, state=TEXT, postal_code=TEXT, country=TEXT
        ),
        max_size=2,
    ).map(tuple),
    birth_date=st.one_of(TEXT, st.sampled_from(["1961", "196102", "1961-02-03", "19610203101500", "19611399", "0000"])),
    sex=st.one_of(TEXT, st.sampled_from(["F", "M", "O", "U", "A", "female"])),
)
DECISION = decided()


@settings(max_examples=80, deadline=None)
@given(PEOPLE)
def test_any_person_gives_a_valid_result(person: Person) -> None:
    """Whatever senders wrote into names and numbers, what leaves is valid FHIR and readable HL7."""
    result = released(DECISION, PatientRecord(person=person, epoch=EPOCH))
    validate(json.loads(result.bundle))
    oru = message(result)
    assert [segment.id for _, segment in oru.walk()][:3] == ["MSH", "PID", "OBR"]
    identity = oru.first("PID")
    assert identity is not None
    written = [value for row in person.identifiers if (value := row.value.strip())]
    assert [identity.get(3, n) for n in range(1, len(written) + 1)] == written
