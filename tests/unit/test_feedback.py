"""Which notes are proposed for review, why, and with what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.deidentify.policy import load_policy as load_deid
from agents.feedback.policy import SHIPPED as policy_file
from agents.feedback.policy import Policy, load_policy
from agents.feedback.reasons import Seen
from agents.feedback.step import admitted, candidates, flagged, proposals_of_comparison
from agents.second_check import SecondCheck, second_check
from schemas.clinical import Coding
from schemas.errors import ConfigurationError
from schemas.findings import Assertion, Findings, Mention
from schemas.flags import Basis, Decision, Flag, Input, Opinion, Rule, TextSpan
from schemas.ids import derived_id, draw
from schemas.samples import FlagEvidence, Sample
from streams.settings import Settings
from tests.support.decide import ICD10, TOKEN, coded, findings, note, tied

SHIPPED = load_policy()
NEVER = msgspec.structs.replace(SHIPPED, random=msgspec.structs.replace(SHIPPED.random, share=0.0))
ALWAYS = msgspec.structs.replace(SHIPPED, random=msgspec.structs.replace(SHIPPED.random, share=1.0))
TEXT = "Denies chest pain. Later: chest pain. Takes 5 mg daily."


def changed(rest: dict[str, Any], index: int, **fields: Any) -> None:
    rows = list(rest["mentions"])
    rows[index] = msgspec.structs.replace(rows[index], **fields)
    rest["mentions"] = tuple(rows)


def samples(made: Decision, policy: Policy, seen: Seen = Seen()) -> tuple[Sample, ...]:  # noqa: B008
    """What is proposed where the first budget that is asked has room."""
    return tuple(admitted(one.sample, one.ways[0].proposal) for one in candidates(made, policy, seen))


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
    assert [s.reason for s in samples(decision(message), ALWAYS)] == ["random"]


def test_chance_is_independent_of_every_other_reason() -> None:
    """A note that is drawn is first a random sample, with the other reasons beside; where it was not drawn no other reason says random."""
    made = decision(findings(1, 0, **contradiction()))
    (sample,) = samples(made, ALWAYS)
    assert (sample.reason, sample.score) == ("random", 1.0)
    assert [word.partition(":")[0] for word in sample.why] == ["random", "disagreement"]
    (one,) = candidates(made, ALWAYS)
    assert [way.proposal.reason for way in one.ways] == ["random", "disagreement"]
    assert one.ways[1].proposal.why == samples(made, NEVER)[0].why
    assert [limit.counter for limit in one.ways[0].limits] == ["random"]


def test_a_classifier_near_one_half_is_uncertain() -> None:
    """The margin between yes and no counts beside the scores of mentions."""
    rest = note(TEXT)
    for score, proposed in ((0.55, True), (0.45, True), (0.7, False), (0.1, False)):
        opinion = Opinion(label="l", score=score, holds=True, note=rest["notes"][0].path, version="v")
        made = msgspec.structs.replace(decision(findings(1, 0, **rest)), opinions=(opinion,))
        assert [s.reason for s in samples(made, NEVER)] == (["uncertain"] if proposed else [])


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Seen(new_sender=True), "new_sender: among the first of its sender"),
        (Seen(drifting=True), "drift: its sender's messages have shifted"),
        (Seen(rare_types=frozenset({"medication"})), "rare: rare type medication"),
        (Seen(rare_names=frozenset({"zorbanol"})), "rare: rare medication without a code"),
        (Seen(rare_types=frozenset({"anatomy"}), rare_names=frozenset({"other"})), ""),
    ],
)
def test_what_the_stream_has_not_seen_before(seen: Seen, why: str) -> None:
    """New senders, drifting ones, rare types and rare names are reasons of their own."""
    every = msgspec.structs.replace(NEVER, drift=msgspec.structs.replace(NEVER.drift, share=1.0))
    made = decision(findings(1, 0, **note("Takes zorbanol.", ("zorbanol", "medication", None))))
    assert [sample.why for sample in samples(made, every, seen)] == ([(why,)] if why else [])


def test_a_linked_name_is_not_rare() -> None:
    """A medication that the vocabulary knows is none to learn, however seldom it is."""
    rest = note("Takes zorbanol.", ("zorbanol", "medication", None))
    changed(rest, 0, codes=(Coding(system="http://www.nlm.nih.gov/research/umls/rxnorm", code="1"),))
    assert samples(decision(findings(1, 0, **rest)), NEVER, Seen(rare_names=frozenset({"zorbanol"}))) == ()


def test_every_reason_that_holds_is_told_and_the_policy_says_which_comes_first() -> None:
    """One sample a note, its reason by the policy's order, the rest in why; the selection names policy and digest."""
    seen = Seen(new_sender=True)
    made = decision(findings(1, 0, **contradiction()))
    (sample,) = samples(made, NEVER, seen)
    assert [word.partition(":")[0] for word in sample.why] == ["disagreement", "new_sender"]
    assert sample.selection == NEVER.selection != SHIPPED.selection
    turned = msgspec.structs.replace(NEVER, priorities=NEVER.priorities[::-1])
    assert [s.reason for s in samples(made, turned, seen)] == ["new_sender"]


def test_where_champion_and_challenger_differ() -> None:
    """A shadow's other mentions of the same note make a proposal; equal ones, or another note, none."""
    before = decision(findings(1, 0, **note(TEXT, ("chest pain", "finding", None))))
    after = decision(findings(1, 0, **note(TEXT, ("chest pain", "problem", None))))
    (one,) = proposals_of_comparison(before, after, NEVER)
    (proposal,) = [way.proposal for way in one.ways]
    assert (proposal.reason, proposal.score, proposal.why) == (
        "disagreement",
        1.0,
        ("disagreement: challenger adds 1, loses 1",),
    )
    assert one.sample.mentions == before.findings.mentions
    assert not list(proposals_of_comparison(before, before, NEVER))
    other = decision(findings(1, 0, **note(TEXT + " More.", ("chest pain", "problem", None))))
    assert not list(proposals_of_comparison(before, other, NEVER))


@pytest.mark.parametrize(
    ("before", "after", "detail"),
    [
        ("share = 0.01", "share = 1.01", "<= 1.0"),
        ('version = "1"', 'version = "1"\nmore = 1', "unknown field"),
        ('"rare"]', '"drift"]', "priorities"),
        ("rare = 60\n", "", "per_reason"),
        ("[random]", "[random", ""),
    ],
)
def test_a_wrong_policy_file_is_refused(tmp_path: Path, before: str, after: str, detail: str) -> None:
    """The setting is named, and what is wrong with the file."""
    path = tmp_path / "policy.toml"
    text = policy_file.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigurationError, match=r"feedback\.policy_file") as error:
        load_policy(path)
    assert detail in (error.value.detail or "")
    with pytest.raises(ConfigurationError):
        load_policy(tmp_path / "none.toml")


def test_the_selection_is_of_what_the_file_says(tmp_path: Path) -> None:
    """Comments change nothing; a number does."""
    path = tmp_path / "policy.toml"
    path.write_text("# another comment\n" + policy_file.read_text())
    assert load_policy(path).selection == SHIPPED.selection
    path.write_text(policy_file.read_text().replace("per_patient = 5", "per_patient = 6"))
    assert load_policy(path).selection != SHIPPED.selection


@pytest.mark.parametrize(
    "text",
    ["Call 555-867-5309 for results.", "Mr. John Smith was seen.", "MRN: 48120077", "SSN 078-05-1120", "Seen on 03/14/2024.",
     "Write to jane.doe@example.org", "Call 555\u2011867\u20115309"],
)  # fmt: skip
def test_the_second_check_suspects_what_looks_like_an_identifier(text: str) -> None:
    """Whatever the first check knew; also behind look-alike characters."""
    check = second_check(Settings().deid)
    assert check(text)
    assert not check(
        "Denies chest pain. [NAME] seen on [DATE 2024], aged [AGE 90+], MRN [ID], call [PHONE] in [LOCATION]. K 5.9 mmol/L."
    )


def test_what_a_profile_lets_stay_is_no_suspicion() -> None:
    """Dates under a limited data set; a telephone number under none."""
    limited = SecondCheck(load_deid("limited"))
    assert not limited("Seen on 03/14/2024.")
    assert limited("Call 555-867-5309.") == "PHONE"


def test_notes_behind_a_flag() -> None:
    """Those that it cites, else every note; ended flags have no card."""
    message = findings(1, 0, **note(TEXT))
    raised = flag("labs.critical")
    ((_, (sample,)),) = flagged(decision(message, raised))
    assert sample.note == message.notes[0]
    assert not list(flagged(decision(message, msgspec.structs.replace(raised, resolved=True))))


def test_a_sample_carries_what_a_reviewer_needs() -> None:
    """The de-identified note, its mentions as prefilled labels, the versions that made them, the flags that cite it."""
    rest = contradiction()
    message = findings(1, 0, **rest)
    (sample,) = samples(decision(message), NEVER)
    assert (sample.note, sample.mentions, sample.versions) == (message.notes[0], message.mentions, message.versions)
    assert (sample.subject, sample.origin) == (TOKEN, message.origin)


def test_what_the_flags_of_a_note_say_goes_along() -> None:
    """A reviewer judges words, not ids; a flag whose evidence is in no sentence of the note is none of its."""
    rest = note(TEXT, ("chest pain", "finding", None))
    changed(rest, 0, score=0.1)
    message = findings(1, 0, **rest)
    span = TextSpan(note=message.notes[0].path, sha256=message.notes[0].sha256, start=0, end=6)
    other = msgspec.structs.replace(flag("lab.critical"), id="f2")
    (sample,) = samples(decision(message, flag("note.contradiction", text_spans=(span,)), other), NEVER)
    assert (sample.flags, sample.summaries) == (("f1",), {"f1": "note.contradiction: s"})
    assert sample.evidence == {"f1": FlagEvidence(type="note.contradiction", spans=((0, 6),))}
