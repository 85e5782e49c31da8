"""``wardstream annotate`` as a user calls it: JSON Lines in and out, with the shipped models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.findings import MENTION_TYPES

ROOT = Path(__file__).resolve().parents[2]
NOTE = "Mr. Lucien Abernathy (MRN 2077415) was seen on 03/04/2026. Denies chest pain. Start metformin 500 mg PO BID."
HL7 = "\r".join(
    [
        "MSH|^~\\&|LAB|LAKEVIEW|WARDSTREAM|NLP|20260303061500||ORU^R01^ORU_R01|T-1|P|2.5.1",
        "PID|1||70023118^^^LAKEVIEW^MR||Thornquist^Adelaide||19531119|F",
        "OBR|1|P1|F1|24323-8^Metabolic panel^LN|||20260303060000",
        "OBX|1|NM|2823-3^Potassium^LN||6.8|mmol/L^^UCUM|3.5-5.1|HH|||F|||20260303060000",
        "NTE|1|L|Called to Dr. Okonjo, patient Thornquist short of breath.",
        "",
    ]
)


def run(lines: list[Any], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    command = [sys.executable, "-m", "ops.cli", "annotate", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT, check=False, timeout=240)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    code, lines, errors = run(
        [
            {"id": "note", "text": NOTE},
            {"id": "message", "format": "hl7v2", "message": HL7},
            {"id": "given", "text": "no fever", "deid": False, "mentions": [{"start": 3, "end": 8, "type": "finding"}]},
            {"id": "fhir", "format": "fhir", "message": {"resourceType": "Patient", "id": "p1", "birthDate": "1961-06-14"}},
        ],
        "--quiet",
    )
    assert code == 0, errors
    return {line["id"]: line for line in lines}


def test_every_line_has_the_documented_keys(answers: dict[str, dict[str, Any]]) -> None:
    """deid, notes, mentions, relations, facts, flags, coverage and versions are always there."""
    keys = {"id", "deid", "notes", "mentions", "relations", "facts", "flags", "coverage", "versions"}
    assert all(set(line) == keys for line in answers.values())


def test_identifiers_leave_and_findings_stay(answers: dict[str, dict[str, Any]]) -> None:
    """Name, number and date are replaced; the drug and the negated symptom are found with their place in the original."""
    line = answers["note"]
    clean = line["deid"]["text"]
    assert not any(value in clean for value in ("Lucien", "Abernathy", "2077415", "03/04"))
    by_text = {mention["text"]: mention for mention in line["mentions"]}
    assert by_text["metformin"]["type"] == "medication"
    assert by_text["chest pain"]["assertion"]["negated"]
    for mention in line["mentions"]:
        assert clean[mention["start"] : mention["end"]] == mention["text"]
        assert NOTE[mention["original"]["start"] : mention["original"]["end"]] == mention["text"]
        assert mention["type"] in MENTION_TYPES
    for span in line["deid"]["spans"]:
        assert span["replacement"] in clean
        assert NOTE[span["start"] : span["end"]] not in clean


def test_what_a_mention_has_besides_is_told() -> None:
    """The side and since when, where the note says them, as the page of the format promises."""
    code, (line,), errors = run([{"id": 1, "text": "Left knee pain for 3 days."}], "--quiet")
    assert code == 0, errors
    told = {key: mention[key] for mention in line["mentions"] for key in ("laterality", "onset") if key in mention}
    assert told["laterality"] == "left"
    assert told["onset"]["ago"] == "P3D"


def test_a_message_gives_facts_and_flags(answers: dict[str, dict[str, Any]]) -> None:
    """The critical potassium is a fact and raises its flag; the message is still HL7 without the patient's name."""
    line = answers["message"]
    assert line["deid"]["message"].startswith("MSH|")
    assert "Thornquist" not in json.dumps(line)
    assert any(fact["codes"][0]["code"] == "2823-3" and fact["value"] == "6.8" for fact in line["facts"])
    assert [flag["type"] for flag in line["flags"]] == ["labs.critical"]


def test_given_mentions_are_only_asserted(answers: dict[str, dict[str, Any]]) -> None:
    """With given spans nothing else is found, and the assertion is ours."""
    (mention,) = answers["given"]["mentions"]
    assert (mention["text"], mention["assertion"]["negated"]) == ("fever", True)


def test_bad_lines_are_told_and_the_run_goes_on() -> None:
    """Each bad line has its error, good lines after it are processed, the exit code is 1, and no input text is quoted."""
    code, lines, errors = run(
        [
            "this is not JSON about Adelaide",
            {"id": 2, "text": "x", "message": "y"},
            {"id": 3, "format": "hl7v2", "message": "PID|1||Adelaide"},
            {"id": 4, "text": "fever", "mentions": [{"start": 0, "end": 5, "type": "finding"}]},
            {"id": 5, "text": "cough", "deid": False, "mentions": [{"start": 0, "end": 99, "type": "finding"}]},
            {"id": 6, "text": ""},
            {"id": 7, "text": "Cough."},
        ],
        "--quiet",
    )
    assert code == 1
    assert [line["id"] for line in lines] == [None, 2, 3, 4, 5, 6, 7]
    assert [("error" in line) for line in lines] == [True, True, True, True, True, False, False]
    assert lines[2]["error"]["code"] == "malformed_hl7"
    assert "Adelaide" not in json.dumps(lines) + errors


def test_output_is_the_same_whatever_else_is_in_the_run() -> None:
    """A note alone and in company gives the same line."""
    alone = run([{"id": 1, "text": NOTE}], "--quiet")[1][0]
    company = run([{"id": 0, "text": "Fever. " * 200}, {"id": 1, "text": NOTE}], "--quiet", "--threads", "2")[1][1]
    assert alone == company
