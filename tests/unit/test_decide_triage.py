"""Patients' own messages: how urgent they look, what they ask, and the draft that a person may send."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decide.context import ContextFact, PatientContext
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider
from agents.decide.triage.table import SHIPPED, TriageTable, sentences
from agents.decide.triage.triager import FLAG_TYPE, Triager
from agents.publish.bundle import render
from schemas.clinical import Coding, Fact
from schemas.errors import ConfigurationError
from schemas.findings import Findings, FindingsNote
from schemas.flags import Decision, Triage

TABLE = TriageTable.load()


def written(text: str, author: str = "patient", codes: tuple[Coding, ...] = ()) -> Findings:
    note = FindingsNote(path="Communication.payload[0].contentString", text=text, sha256="0" * 64, author=author, codes=codes)  # type: ignore[arg-type]
    return Findings(
        id="f-1",
        origin="o-1",
        subject="TOKEN0000000001",
        format="fhir",
        kind="Communication",
        time="2026-01-02T03:04:05Z",
        elapsed=100,
        notes=(note,),
    )


def triaged(text: str, context: PatientContext | None = None) -> Triage:
    (answer,) = Triager(TABLE).read(written(text), context or PatientContext())
    return answer


@pytest.mark.parametrize(
    ("text", "urgency"),
    [
        ("I have pressure on my chest and my arm aches", "emergency"),
        ("no chest pain or trouble breathing, just a question about my dose", "routine"),
        ("I had chest pain last year, it was checked", "routine"),
        ("what are the warning signs of chest pain in a heart attack", "routine"),
        ("She can’t breathe", "emergency"),
        ("I don't have a fever. My chest hurts.", "emergency"),
        ("I dont want to live anymore", "emergency"),
        ("he swallowed a battery", "emergency"),
        ("I swallowed my pride and took a walk", "routine"),
        ("my blood pressure was 178/102 this morning", "same-day"),
        ("my blood pressure was 128/82 this morning", "routine"),
        ("incision is red and leaking", "same-day"),
        ("the incision is not red, no fever", "routine"),
        ("can I have a refill of metformin", "routine"),
        ("", "none"),
    ],
)
def test_how_urgent_it_looks(text: str, urgency: str) -> None:
    """Denied, past and general statements count for nothing; one sentence does not excuse another."""
    answers = Triager(TABLE).read(written(text), PatientContext())
    assert (answers[0].urgency if answers else "none") == urgency


def test_only_what_a_patient_wrote_is_triaged() -> None:
    """A clinician's letter is none; a note with the LOINC code of a patient's note is, whatever carries it."""
    text = "crushing chest pain"
    assert Triager(TABLE).read(written(text, author=""), PatientContext()) == ()
    coded = written(text, author="", codes=(Coding(system="http://loinc.org", code="51855-5"),))
    assert Triager(TABLE).read(coded, PatientContext())[0].urgency == "emergency"


def test_the_evidence_is_where_the_words_stand() -> None:
    """Offsets into the note; every ground has the row's name."""
    text = "Hello doctor. Since noon there is a heavy pressure on my chest!"
    answer = triaged(text)
    (ground,) = answer.grounds
    assert ground.span is not None
    assert text[ground.span.start : ground.span.end] in (
        "heavy pressure on my chest",
        "pressure on my chest",
        "heavy pressure on my chest"[:26],
    )
    assert ground.name == "pain or pressure in the chest"


def lab(name: str, value: str, elapsed: int) -> ContextFact:
    fact = Fact(id=f"lab/{name}/{elapsed}", kind="lab", path="", codes=(Coding(system="http://loinc.org", code="1-1", display=name),),
                value=Decimal(value), unit="mg/dL", elapsed=elapsed)  # fmt: skip
    return ContextFact(fact, "o-0")


def drug(name: str, status: str = "active") -> ContextFact:
    fact = Fact(id=f"drug/{name}", kind="medication", path="", codes=(Coding(display=name),), status=status, elapsed=5)
    return ContextFact(fact, "o-0")


def context(*rows: ContextFact) -> PatientContext:
    return PatientContext(facts={row.fact.id: row for row in rows})


def test_a_draft_says_what_the_record_says_and_nothing_else() -> None:
    """The newest result that the message names, the medicine that it names; stopped ones and others are not told."""
    record = context(
        lab("Creatinine", "1.1", 10),
        lab("Creatinine", "1.4", 20),
        lab("Potassium", "4.1", 20),
        drug("metformin 500 MG"),
        drug("warfarin", "stopped"),
    )
    answer = triaged("Are my creatinine results back? And do I keep taking metformin and warfarin?", record)
    assert "The latest Creatinine in your record is 1.4 mg/dL." in answer.draft.text
    assert "Your record lists metformin 500 MG." in answer.draft.text
    assert "1.1" not in answer.draft.text
    assert "warfarin" not in answer.draft.text
    assert [source.ref for source in answer.draft.sources] == ["lab/Creatinine/20", "drug/metformin 500 MG"]


def test_a_draft_for_an_emergency_names_the_emergency_number_and_no_results() -> None:
    """Nothing stands before it."""
    answer = triaged("crushing chest pain, and is my creatinine back?", context(lab("Creatinine", "1.4", 20)))
    assert "emergency number" in answer.draft.text
    assert answer.draft.sources == ()


@given(st.text(max_size=300))
def test_no_text_breaks_it_and_none_gets_into_the_draft(text: str) -> None:
    """Whatever a patient writes: an answer, with sentences of the table alone, and spans inside the text."""
    for answer in Triager(TABLE).read(written(text), PatientContext()):
        form = TABLE.form.draft
        rest = answer.draft.text
        for sentence in (form.opening, *form.urgency.values(), *form.asks.values()):
            rest = rest.replace(sentence, "")
        assert not rest.strip()
        assert all(0 <= g.span.start < g.span.end <= len(text) for g in answer.grounds if g.span is not None)


def test_words_keep_their_places_whatever_letters_stand_before_them() -> None:
    """Capitals whose small form is longer (U+0130)."""
    (sentence,) = sentences("İİ can't breathe")
    assert ["İİ can't breathe"[a:b] for a, b in sentence.places][-1] == "breathe"


class Sure:
    """A model that is sure of one class."""

    version = "messages@1"

    def __init__(self, *labels: str) -> None:
        self.labels = labels

    def classify_many(self, texts: object) -> list[dict[str, float]]:
        return [dict.fromkeys(self.labels, 0.9) for _ in texts]  # type: ignore[attr-defined]

    def labels_of(self, probabilities: dict[str, float]) -> tuple[str, ...]:
        return tuple(probabilities)

    def close(self) -> None: ...


def test_the_more_urgent_of_table_and_model_counts() -> None:
    """Each can raise it, none lowers the other; both are named as grounds."""
    calm = Triager(TABLE, Sure("urgency:routine", "ask:results"))
    assert calm.read(written("crushing chest pain"), PatientContext())[0].urgency == "emergency"
    alarmed = Triager(TABLE, Sure("urgency:emergency"))
    (answer,) = alarmed.read(written("I feel odd"), PatientContext())
    assert (answer.urgency, answer.grounds[0].score) == ("emergency", 0.9)
    (flag,) = alarmed.flags(written("I feel odd"), (answer,))
    assert (flag.kind, flag.severity, flag.score) == ("model", "critical", 0.9)
    assert alarmed.version != Triager(TABLE).version


def decided(text: str) -> Decision:
    decision, _ = Decider(RuleSet.load()).decide(written(text), PatientContext())
    return decision


def test_an_urgent_message_raises_a_flag_with_its_evidence() -> None:
    """Critical for an emergency, warning for the same day, none for the rest."""
    assert [(f.type, f.severity) for f in decided("crushing chest pain").flags] == [(FLAG_TYPE, "critical")]
    assert [(f.type, f.severity) for f in decided("burning when I pee").flags] == [(FLAG_TYPE, "warning")]
    assert decided("refill of metformin please").flags == ()


def test_a_draft_is_published_in_preparation_without_a_sender() -> None:
    """FHIR Communication: never sent by us; the message that it answers is named."""
    entries = json.loads(render(decided("burning when I pee, can I have an appointment")))["entry"]
    (draft,) = [e["resource"] for e in entries if e["resource"]["resourceType"] == "Communication"]
    assert draft["status"] == "preparation"
    assert "sender" not in draft
    assert "sent" not in draft
    assert draft["priority"] == "urgent"
    assert draft["inResponseTo"][0]["identifier"]["value"] == "o-1"
    assert "person must" in draft["note"][0]["text"]
    assert [e["resource"]["code"]["coding"][0]["code"] for e in entries if e["resource"]["resourceType"] == "DetectedIssue"] == [
        FLAG_TYPE
    ]


@pytest.mark.parametrize("damage", ["api_version: triage/v2", "urgency: {soon: []}", "never: 3"])
def test_a_wrong_table_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    """At the start."""
    text = SHIPPED.read_text(encoding="utf-8")
    key = damage.partition(":")[0]
    rows = msgspec.yaml.decode(text)
    rows[key] = msgspec.yaml.decode(damage)[key]
    path = tmp_path / "site.yaml"
    path.write_bytes(msgspec.yaml.encode(rows))
    with pytest.raises(ConfigurationError, match=r"site\.yaml"):
        TriageTable.load(path)


def test_every_row_of_the_table_can_hold() -> None:
    """The first word of each group in a row, as a sentence, makes the row hold; with "no" before it, it does not, unless it says so."""
    for level, rows in TABLE.form.urgency.items():
        for row in rows:
            text = " ".join(dict.fromkeys(group.split("|")[0].rstrip("*") for group in row.all))
            if len(text.split()) >= len(row.all):
                held = [name.name for _, name, _ in TABLE.rows(sentences(text))]
                assert row.name in held, (level, row.name, text)
                denied = [name.name for _, name, _ in TABLE.rows(sentences(f"no {text}"))]
                assert (row.name in denied) == row.even_denied, (level, row.name, denied)


def level(text: str) -> str:
    """The most urgent row of the shipped table."""
    levels = {found for found, _, _ in TABLE.rows(sentences(text))}
    return next((name for name in ("emergency", "same-day") if name in levels), "routine")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm not sure why my chest hurts so badly", "emergency"),
        ("It's not going away and my chest feels tight", "emergency"),
        ("I have no chest pain and no trouble breathing", "routine"),
        ("he is not himself and his speech is slurred", "emergency"),
    ],
)
def test_a_denial_of_something_else_denies_nothing(text: str, expected: str) -> None:
    assert level(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I have a history of angina and this morning my chest feels heavy", "emergency"),
        ("I had chest pain years ago, all I need is a form", "routine"),
        ("My dad's face drooped for ten minutes but he's back to normal", "emergency"),
        ("My chest pain went away with the antacid", "routine"),
    ],
)
def test_the_past_is_silent_unless_now_is_spoken_of_or_the_sign_calls_for_help_when_it_is_over(text: str, expected: str) -> None:
    """A stroke's signs that pass are a warning (TIA)."""
    assert level(text) == expected


def test_two_sentences_that_follow_each_other_are_read_together() -> None:
    """Only by rows that say so, and only neighbours."""
    assert level("My son fell and hit his head an hour ago. He keeps vomiting.") == "emergency"
    assert (
        level("My son fell and hit his head. We had lunch then. We liked the soup. He wants to vomiting-proof his bed.")
        != "emergency"
    )
    assert level("I had a chest film. Pain in my toe is the same.") == "routine"


@pytest.mark.parametrize(
    "text",
    [
        "I can't catch my breath",
        "grandpa suddenly can't lift his right arm",
        "ate a cashew and my tongue is thick",
        "hubby threw up blood",
        "I haven't felt the baby kick all day and I'm 35 weeks",
        "one of my testicles hurts like crazy since lunch",
        "can't feel my privates when I wipe and my back is killing me",
        "running 102 and I'm on chemo",
        "my toddler got into grandma's pills",
        "carbon monoxide alarm keeps going off and we have headaches",
        "the spots on her legs don't fade under a glass and she has a fever",
        "I gave myself double the insulin by mistake",
        "everyone would be better off without me",
        "my period is late and I have a stabbing pain on one side, feel faint",
        "I quit drinking two days ago. I'm shaking and seeing things",
    ],
)
def test_lay_words_of_known_red_flags_are_an_emergency(text: str) -> None:
    assert level(text) == "emergency"
