"""Which notes are proposed for review, why, and with what."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agents.feedback.agent import FeedbackStage
from agents.feedback.policy import Policy, draw
from agents.feedback.step import samples
from schemas.clinical import Coding
from schemas.envelope import JSON, DataClass, Envelope, parse_headers
from schemas.errors import PrivacyViolation, Reason
from schemas.findings import Assertion, Findings, Mention
from schemas.flags import Basis, Decision, Flag, Input, Rule, TextSpan
from schemas.ids import derived_id
from schemas.samples import Sample
from streams import topics
from streams.record import Record
from streams.settings import Feedback, Settings
from streams.stage import Done, Refused
from tests.support.decide import ICD10, TOKEN, coded, findings, note, tied

NEVER = Policy(uncertain_below=0.6, random_share=0.0)
TEXT = "Denies chest pain. Later: chest pain. Takes 5 mg daily."


def changed(rest: dict[str, Any], index: int, **fields: Any) -> None:
    rows = list(rest["mentions"])
    rows[index] = msgspec.structs.replace(rows[index], **fields)
    rest["mentions"] = tuple(rows)


def decision(message: Findings, *flags: Flag) -> Decision:
    return Decision(id=derived_id(message.origin, "decide"), findings=message, flags=flags)


def flag(kind: str, **basis: Any) -> Flag:
    return Flag(
        id="f1", type=kind, kind="rule", severity="warning", subject=TOKEN, summary="s",
        basis=Basis(logic="l", citation="c", **basis), rule=Rule(id=kind, version="1", sha256="0"),
    )  # fmt: skip


def test_a_sure_and_consistent_note_is_not_proposed() -> None:
    """Reviewers see nothing that teaches nothing."""
    assert samples(decision(findings(1, 0, **note(TEXT, ("5 mg", "dosage", None)))), NEVER) == ()


@pytest.mark.parametrize(("score", "proposed"), [(0.59, True), (0.6, False), (0.61, False)])
def test_an_uncertain_mention(score: float, proposed: bool) -> None:
    """Below the threshold, not at it; the less sure the model, the higher in the queue."""
    rest = note(TEXT, ("chest pain", "finding", None))
    changed(rest, 0, score=score)
    found = samples(decision(findings(1, 0, **rest)), NEVER)
    assert [(sample.reason, sample.score) for sample in found] == ([("uncertain", round(1 - score, 4))] if proposed else [])


@pytest.mark.parametrize("source", ["rules/1", "given"])
def test_only_a_model_s_score_is_uncertainty(source: str) -> None:
    """Rules and given spans have no score of their own."""
    rest = note(TEXT, ("chest pain", "finding", None))
    changed(rest, 0, score=0.1, source=source)
    assert samples(decision(findings(1, 0, **rest)), NEVER) == ()


def contradiction() -> dict[str, Any]:
    rest = note(TEXT, ("chest pain", "finding", Assertion(negated=True)))
    first: Mention = rest["mentions"][0]
    start = TEXT.rindex("chest pain")
    second = msgspec.structs.replace(first, id="second", start=start, end=start + 10, assertion=Assertion())
    rest["mentions"] = (first, second)
    return rest


def test_one_note_that_says_yes_and_no() -> None:
    """The same words present and absent in one note: assertion or text is wrong."""
    (sample,) = samples(decision(findings(1, 0, **contradiction())), NEVER)
    assert (sample.reason, sample.score) == ("disagreement", 1.0)


@pytest.mark.parametrize("axis", ["historical", "family", "hypothetical", "possible"])
def test_then_and_now_do_not_contradict(axis: str) -> None:
    """A past, a relative's or a possible one beside an absent one is ordinary."""
    rest = contradiction()
    changed(rest, 1, assertion=Assertion(**{axis: True}))
    assert samples(decision(findings(1, 0, **rest)), NEVER) == ()


def test_a_dose_without_a_drug() -> None:
    """The rules found a dose where the model saw no drug; with its drug it is no disagreement."""
    rest = note("Takes zorbanol 5 mg.", ("zorbanol", "medication", None), ("5 mg", "dosage", None))
    changed(rest, 1, source="rules/1")
    (sample,) = samples(decision(findings(1, 0, **rest)), NEVER)
    assert sample.reason == "disagreement"
    rest["relations"] = (tied("medication-dosage", *rest["mentions"]),)
    assert samples(decision(findings(1, 0, **rest)), NEVER) == ()


def denial() -> dict[str, Any]:
    rest = note("Denies suicidal ideation.", ("suicidal ideation", "finding", Assertion(negated=True)))
    changed(rest, 0, codes=(Coding(system=ICD10, code="R45.851"),), source="rules/1")
    return rest


def test_text_that_denies_a_coded_problem() -> None:
    """The diagnosis list and the note of one message cannot both be right."""
    problem = coded("problem", "p", "Suicidal ideations", (ICD10, "R45.851"))
    (sample,) = samples(decision(findings(1, 0, problem, **denial())), NEVER)
    assert sample.reason == "disagreement"
    withdrawn = msgspec.structs.replace(problem, retracted=True)
    assert samples(decision(findings(1, 0, withdrawn, **denial())), NEVER) == ()


def test_text_that_denies_a_flag_s_structured_input() -> None:
    """PHQ-9 item 9 says yes, the note says no."""
    message = findings(1, 0, **denial())
    raised = flag("suicide.ideation", inputs=(Input(ref="x", code="44260-8"),))
    assert [sample.reason for sample in samples(decision(message, raised), NEVER)] == ["disagreement"]
    assert samples(decision(message, flag("labs.critical", inputs=(Input(ref="x", code="1"),))), NEVER) == ()


def test_a_random_share_is_the_same_whenever_it_is_drawn() -> None:
    """No randomness at run time: about a hundredth of many notes, and always the same ones."""
    drawn = [draw(f"origin-{n}", "OBX[1]-5") for n in range(20_000)]
    assert drawn == [draw(f"origin-{n}", "OBX[1]-5") for n in range(20_000)]
    assert 150 < sum(number < 0.01 for number in drawn) < 250
    message = findings(1, 0, **note(TEXT))
    assert [s.reason for s in samples(decision(message), Policy(0.0, 1.0))] == ["random"]


def test_a_sample_carries_what_a_reviewer_needs() -> None:
    """The de-identified note, its mentions as prefilled labels, the versions that made them, the flags that cite it."""
    rest = contradiction()
    message = findings(1, 0, **rest)
    (sample,) = samples(decision(message), NEVER)
    assert (sample.note, sample.mentions, sample.versions) == (message.notes[0], message.mentions, message.versions)
    assert (sample.subject, sample.origin) == (TOKEN, message.origin)


def record(value: bytes, data_class: DataClass = DataClass.INTERNAL) -> Record:
    headers = Envelope(
        id="d", source="/agents/decide", type="t", time="2026-03-02T10:15:00Z", content_type=JSON, data_class=data_class,
        origin="o", subject=TOKEN, policy="p", model="m", deid_map=b"{}",
    ).headers()  # fmt: skip
    return Record(topics.RAISED, 0, 0, 0, TOKEN.encode(), value, headers)


async def test_the_stage_proposes_and_passes() -> None:
    """Samples go to the training topic under their own ids; a message without any is done all the same."""
    stage = FeedbackStage(Settings(feedback=Feedback(random_share=0.0)))
    one = decision(findings(1, 0, **contradiction()))
    two = decision(findings(2, 0, **note(TEXT)))
    outcomes = await stage.process([record(msgspec.json.encode(d)) for d in (one, two)])
    again = await stage.process([record(msgspec.json.encode(one))])
    assert outcomes[1] == Done()
    assert outcomes[0] == again[0]
    assert isinstance(outcomes[0], Done)
    (output,) = outcomes[0].outputs
    sample, envelope = msgspec.json.decode(output.value or b"", type=Sample), parse_headers(output.headers)
    assert (output.topic, output.key, envelope.id) == (topics.SAMPLE, sample.id.encode(), sample.id)
    assert (envelope.data_class, envelope.deid_map) == (DataClass.INTERNAL, None)


async def test_the_stage_refuses_what_it_cannot_read() -> None:
    """A coded refusal for a broken record, a halt for one that it may not read."""
    stage = FeedbackStage(Settings())
    (outcome,) = await stage.process([record(b"{}")])
    assert isinstance(outcome, Refused)
    assert outcome.error.reason is Reason.SCHEMA_MISMATCH
    with pytest.raises(PrivacyViolation):
        await stage.process([record(b"{}", DataClass.RESTRICTED)])


def test_what_the_flags_of_a_note_say_goes_along() -> None:
    """A reviewer judges words, not ids; a flag whose evidence is in no sentence of the note is none of its."""
    rest = note(TEXT, ("chest pain", "finding", None))
    changed(rest, 0, score=0.1)
    message = findings(1, 0, **rest)
    span = TextSpan(note=message.notes[0].path, sha256=message.notes[0].sha256, start=0, end=6)
    other = msgspec.structs.replace(flag("lab.critical"), id="f2")
    (sample,) = samples(decision(message, flag("note.contradiction", text_spans=(span,)), other), NEVER)
    assert (sample.flags, sample.summaries) == (("f1",), {"f1": "note.contradiction: s"})
