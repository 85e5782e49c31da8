"""One de-identified message in, one Findings out."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from agents.extract.lexicon import lexicon
from agents.extract.step import Extractor, Request
from schemas.deidentified import DeidMap, SpanMap
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import Poison, Reason
from schemas.findings import Findings
from tests.support.extract import WordTagger

HEAD = r"MSH|^~\&|LAB|H|WS|H|2024||ORU^R01^ORU_R01|1|P|2.5.1" + "\r" + "PID|1||wspt-1^^^WS||||1958|F\r"
NOTE = (
    HEAD
    + "OBR|1||1|18842-5^Discharge summary^LN|||2024\r"
    + "OBX|1|TX|18842-5^Discharge summary^LN||FAMILY HISTORY: No asthma.||||||F\r"
    + "OBX|2|TX|18842-5^Discharge summary^LN||PLAN: Start metformin 500 mg BID.||||||F\r"
)
LABS = (
    HEAD
    + "OBR|1||1|24321-2^BMP^LN|||2024\r"
    + "OBX|1|NM|2823-3^Potassium^LN||6.80|mmol/L|3.5-5.1|HH|||F|||2024\r"
    + "OBX|2|NM|2951-2^Sodium^LN||140|mmol/L|||||F\r"
)
WORDS = {"asthma": "problem", "metformin": "medication"}


def request(payload: str, **changes: object) -> Request:
    base = Request(HL7_V2, payload.encode(), "id-1", "origin-1", "wspt-1", "2024-05-01T10:00:00Z", "policy-1", DeidMap())
    return Request(**{**{f: getattr(base, f) for f in Request.__slots__}, **changes})  # type: ignore[arg-type]


def one(payload: str, **changes: object) -> Findings:
    (result,) = Extractor(WordTagger(WORDS)).extract_many([request(payload, **changes)])
    assert isinstance(result, Findings)
    return result


def test_mentions_of_a_note_stand_with_their_note() -> None:
    """Every mention's offsets lead into the text of the note it names; the digest is of that text."""
    found = one(NOTE)
    notes = {note.path: note for note in found.notes}
    assert {m.text for m in found.mentions} >= {"asthma", "metformin", "500 mg", "BID"}
    for mention in found.mentions:
        note = notes[mention.note]
        assert note.text[mention.start : mention.end] == mention.text
        assert note.sha256 == hashlib.sha256(note.text.encode()).hexdigest()
    (asthma,) = [m for m in found.mentions if m.text == "asthma"]
    assert (asthma.assertion.negated, asthma.assertion.family, asthma.section) == (True, True, "family_history")


def test_a_result_reported_anew_is_the_newer_version_within_the_year() -> None:
    """Dates are cut to the year, so the time in a version is the patient's clock; without the map the two would be equal."""
    first, later = (one(LABS, deid_map=DeidMap(times={"MSH-7": minutes})).facts[1].version for minutes in (5000, 5001))
    assert first < later
    assert one(LABS).facts[1].version == one(LABS).facts[1].version < first


def test_facts_keep_their_exact_value_and_get_the_patients_clock() -> None:
    """``elapsed`` comes from the map by the path of the fact's own time, else from the message's."""
    found = one(LABS, deid_map=DeidMap(times={"OBX[1]-14": 4321}, received=5000, age_years=66, sender="A1", department="A2"))
    assert (found.sender, found.department) == ("A1", "A2")
    potassium, sodium = (fact for fact in found.facts if fact.kind != "report")
    assert (str(potassium.value), potassium.elapsed) == ("6.80", 4321)
    assert sodium.elapsed == 5000
    assert (found.elapsed, found.age_years) == (5000, 66)


def test_a_message_without_notes_asks_the_model_nothing() -> None:
    """Structured feeds cost no inference."""
    tagger = WordTagger(WORDS)
    Extractor(tagger).extract_many([request(LABS)])
    assert tagger.calls == []


def test_notes_of_a_batch_go_through_the_model_in_one_call_each_text_once() -> None:
    """Same text, one inference."""
    tagger = WordTagger(WORDS)
    Extractor(tagger).extract_many([request(NOTE), request(LABS), request(NOTE, id="id-2", origin="origin-2")])
    assert [len(call) for call in tagger.calls] == [len(one(NOTE).notes)]


def test_a_message_that_cannot_be_read_does_not_touch_its_neighbours() -> None:
    """Its place in the results holds the refusal, with a reason and no text of the message."""
    good, bad, again = Extractor(WordTagger(WORDS)).extract_many([request(NOTE), request("secret text"), request(NOTE)])
    assert isinstance(bad, Poison)
    assert bad.reason is Reason.MALFORMED_HL7
    assert "secret" not in str(bad)
    assert good == again == one(NOTE)
    with pytest.raises(Poison):
        Extractor(WordTagger(WORDS)).extract(
            "text/csv", b"a,b", id="i", origin="o", subject="s", time="", policy="", deid_map=DeidMap()
        )


def test_company_changes_no_byte() -> None:
    """A message alone and in a batch gives the same record."""
    alone = msgspec.json.encode(one(NOTE))
    batch = Extractor(WordTagger(WORDS)).extract_many([request(LABS, origin="o2"), request(NOTE), request(NOTE, origin="o3")])
    assert msgspec.json.encode(batch[1]) == alone


def test_replacements_are_known_by_note_path() -> None:
    """Spans of the map cut mentions and lead them back to the original offsets."""
    (path,) = {m.note for m in one(NOTE).mentions if m.text == "asthma"}
    clean = next(n.text for n in one(NOTE).notes if n.path == path)
    at = clean.index("asthma")
    found = one(NOTE, deid_map=DeidMap(notes={path: (SpanMap(0, 30, 0, 6, "NAME"),)}))
    (asthma,) = [m for m in found.mentions if m.text == "asthma"]
    assert asthma.original is not None
    assert asthma.original.start == at + 24


def test_versions_name_everything_that_shaped_the_result() -> None:
    """Policy, model, assertion rules; the extractor's own version holds all of its parts."""
    found, extractor = one(NOTE), Extractor(WordTagger(WORDS))
    assert (found.versions.policy, found.versions.entity_model) == ("policy-1", "words-1")
    assert found.versions.assertion_rules == lexicon().version
    assert "words-1" in extractor.version
    assert lexicon().version in extractor.version


def test_bare_text_is_a_message_of_one_note() -> None:
    """``annotate`` gives a text and gets findings whose only note it is; given spans replace the search."""
    extractor = Extractor(WordTagger(WORDS))
    found = extractor.extract_text("text", "No asthma.", origin="o", policy="p")
    assert [(n.path, n.text) for n in found.notes] == [("text", "No asthma.")]
    assert [(m.text, m.assertion.negated) for m in found.mentions] == [("asthma", True)]
    given = extractor.extract_text("text", "No asthma.", origin="o", policy="p", given=[(0, 2, "finding")])
    assert [(m.text, m.type) for m in given.mentions] == [("No", "finding")]
    assert [m.text for m in extractor.mentions("text", "No asthma.")] == ["asthma"]


def test_a_fhir_resource_is_read_the_same_way() -> None:
    """A report's conclusion is a note; its format and kind say where it came from."""
    resource = {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "Chest"}, "conclusion": "No asthma."}
    found = one(msgspec.json.encode(resource).decode(), content_type=FHIR_JSON)
    assert (found.format, found.kind) == ("fhir", "DiagnosticReport")
    assert [(m.note, m.text, m.assertion.negated) for m in found.mentions] == [("DiagnosticReport.conclusion", "asthma", True)]
