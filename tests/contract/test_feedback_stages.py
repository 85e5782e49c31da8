"""The feedback stages on a real Redis: budgets, what was seen before, the second leak check, and answers to cards; the same again for the same record."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.feedback.agent import FeedbackStage, feedback_store
from agents.feedback.cards_agent import FeedbackCardsStage
from agents.feedback.policy import SHIPPED
from agents.feedback.step import Check
from agents.second_check import build, second_check
from schemas.cards import CardFeedback
from schemas.clinical import Coding
from schemas.envelope import JSON, DataClass, Envelope, parse_headers
from schemas.errors import Poison, PrivacyViolation, Reason, StoreUnavailable
from schemas.findings import Findings
from schemas.flags import Basis, Decision, Flag, Rule, TextSpan
from schemas.ids import derived_id
from schemas.samples import Sample
from streams import drift_marks, topics
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.record import Record
from streams.settings import Cds, Feedback, Kafka, Redis, Settings
from streams.stage import Done, Refused
from streams.store import connect
from tests.support.decide import TOKEN, findings, note

TEXT = "Takes zorbanol 5 mg daily for chest pain."
CARD = "7d2a4a52-3a86-4bd7-9c7d-2f0a37f3a001"


@pytest.fixture
def settings(redis_server: str, tmp_path: Path) -> Settings:
    """An installation of its own whose policy proposes only what a test asks for."""
    return Settings(
        redis=Redis(url=redis_server),
        kafka=Kafka(topic_prefix=f"t{uuid.uuid4().hex[:10]}."),
        cds=Cds(enabled=True),
        feedback=Feedback(policy_file=policy(tmp_path)),
    )


def policy(folder: Path, changes: Mapping[str, str] | None = None) -> Path:
    """The shipped policy without chance, new senders and rare names; ``changes``: values by table and name."""
    quiet = {"random.share": "0.0", "drift.share": "0.0", "new_sender.messages": "0", "rare.name_notes": "0", **(changes or {})}
    lines, table, done = [], "", set()
    for line in SHIPPED.read_text().splitlines():
        table = line.strip("[]") if line.startswith("[") else table
        name = f"{table}.{line.partition(' ')[0]}"
        lines.append(f"{line.partition(' ')[0]} = {quiet[name]}" if name in quiet else line)
        done.add(name)
    assert quiet.keys() <= done
    path = folder / f"policy-{uuid.uuid4().hex}.toml"
    path.write_text("\n".join(lines))
    return path


def with_policy(settings: Settings, folder: Path, changes: Mapping[str, str]) -> Settings:
    return settings.model_copy(update={"feedback": Feedback(policy_file=policy(folder, changes))})


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Any]:
    """Opens stages, and closes them."""
    stages: list[FeedbackStage | FeedbackCardsStage] = []

    async def open_(under: Settings | None = None, check: Check | None = None) -> tuple[FeedbackStage, StreamMetrics]:
        chosen = under or settings
        stage, metrics = FeedbackStage(chosen, check or second_check(chosen.deid)), StreamMetrics()
        stage.observe(metrics, Health(set()))
        stages.append(stage)
        await stage.open()
        return stage, metrics

    async def cards(under: Settings | None = None) -> FeedbackCardsStage:
        stage = FeedbackCardsStage(under or settings)
        stages.append(stage)
        await stage.open()
        return stage

    open_.cards = cards  # type: ignore[attr-defined]
    yield open_
    for stage in stages:
        await stage.close()


def uncertain(number: int, score: float = 0.3, text: str = TEXT, **rest: Any) -> Findings:
    made = note(text, ("zorbanol", "medication", None))
    made["mentions"] = tuple(msgspec.structs.replace(m, score=score) for m in made["mentions"])
    return findings(number, 0, **made, **rest)


def decision(message: Findings, *flags: Flag) -> Decision:
    return Decision(id=derived_id(message.origin, "decide"), findings=message, flags=flags)


def flag(message: Findings, name: str = CARD) -> Flag:
    span = TextSpan(note=message.notes[0].path, sha256=message.notes[0].sha256, start=0, end=4)
    return Flag(
        id=name, type="drug.dose", kind="rule", severity="warning", subject=message.subject, summary="s",
        basis=Basis(logic="l", citation="c", text_spans=(span,)), rule=Rule(id="r", version="1", sha256="0"),
    )  # fmt: skip


def record(value: bytes, data_class: DataClass = DataClass.INTERNAL, topic: str = topics.RAISED) -> Record:
    headers = Envelope(
        id="d", source="/agents/decide", type="t", time="2026-03-02T10:15:00Z", content_type=JSON, data_class=data_class,
        origin="o", subject=TOKEN, policy="p", model="m", deid_map=b"{}",
    ).headers()  # fmt: skip
    return Record(topic, 0, 0, 0, TOKEN.encode(), value, headers)


def records(*made: Findings | Decision) -> list[Record]:
    return [record(msgspec.json.encode(decision(one) if isinstance(one, Findings) else one)) for one in made]


def answered(outcome: Any, time: str = "2026-03-02T11:00:00Z", reason: str = "", card: str = CARD) -> Record:
    said = CardFeedback(
        id=derived_id(card, outcome, ordinal=time), card=card, service="s", outcome=outcome, time=time, issuer="i", reason=reason
    )
    return record(msgspec.json.encode(said), topic=topics.FEEDBACK)


def samples(outcomes: Any) -> list[Sample]:
    assert all(isinstance(one, Done) for one in outcomes)
    return [msgspec.json.decode(output.value, type=Sample) for one in outcomes for output in one.outputs]


def withheld(metrics: StreamMetrics, reason: str, cause: str) -> float:
    return metrics.samples_withheld.labels(reason, cause)._value.get()


async def test_the_stage_proposes_and_passes(opened: Any) -> None:
    """Samples go to the training topic under their own ids, with reason, words and policy; a message without any is done all the same."""
    stage, metrics = await opened()
    outcomes = await stage.process(records(uncertain(1), uncertain(2, 0.9)))
    assert outcomes[1] == Done()
    (output,) = outcomes[0].outputs
    sample, envelope = msgspec.json.decode(output.value, type=Sample), parse_headers(output.headers)
    assert (output.topic, output.key, envelope.id) == (topics.SAMPLE, sample.id.encode(), sample.id)
    assert (envelope.data_class, envelope.deid_map) == (DataClass.INTERNAL, None)
    assert (sample.reason, sample.why, sample.selection[:2]) == ("uncertain", ("uncertain: score 0.30",), "1#")
    assert metrics.samples_proposed.labels("uncertain")._value.get() == 1


async def test_the_stage_refuses_what_it_cannot_read(opened: Any) -> None:
    """A coded refusal for a broken record, a halt for one that it may not read; the other records of the batch are served."""
    stage, _ = await opened()
    outcomes = await stage.process([record(b"{}"), *records(uncertain(1))])
    assert isinstance(outcomes[0], Refused)
    assert outcomes[0].error.reason is Reason.SCHEMA_MISMATCH
    assert len(samples(outcomes[1:])) == 1
    with pytest.raises(PrivacyViolation):
        await stage.process([record(b"{}", DataClass.RESTRICTED)])


async def test_a_store_that_is_away_holds_the_batch_up(settings: Settings) -> None:
    """Without budgets nothing is proposed, and nothing is lost."""
    away = settings.model_copy(update={"redis": Redis(url="redis://127.0.0.1:1/0", timeout_s=0.2)})
    stage = build(away)
    await stage.open()
    with pytest.raises(StoreUnavailable):
        await stage.process(records(uncertain(1)))
    await stage.close()


@pytest.mark.parametrize(
    ("changes", "cause", "expected"),
    [
        ({"budget.per_day": "3"}, "day", 3),
        ({"budget.per_reason.uncertain": "4"}, "reason", 4),
        ({"budget.per_patient": "2"}, "patient", 4),  # of two patients
        ({"budget.per_sender": "5"}, "sender", 5),
        ({}, "day", 8),
    ],
)
async def test_budgets_bound_what_is_proposed(
    opened: Any, settings: Settings, tmp_path: Path, changes: dict[str, str], cause: str, expected: int
) -> None:
    """By day, reason, patient and sender; what is over is counted by reason and budget, and another day has its own."""
    stage, metrics = await opened(with_policy(settings, tmp_path, {"budget.per_patient": "50", **changes}))
    made = [uncertain(n, sender="north", subject=f"W{n % 2:014d}") for n in range(8)]
    found = samples(await stage.process(records(*made)))
    assert len(found) == expected
    assert withheld(metrics, "uncertain", cause) == 8 - expected
    tomorrow = [msgspec.structs.replace(one, time="2026-03-03T00:00:00Z", id=f"x{n}") for n, one in enumerate(made)]
    assert len(samples(await stage.process(records(*tomorrow)))) == expected


async def test_a_message_that_comes_again_gets_its_first_answer(opened: Any, settings: Settings, tmp_path: Path) -> None:
    """Byte for byte, in another order, by another worker, under a changed policy, and without spending anything twice."""
    tight = with_policy(settings, tmp_path, {"budget.per_day": "2"})
    first, _ = await opened(tight)
    rows = records(*(uncertain(n) for n in range(4)))
    outcomes = await first.process(rows)
    assert [len(one.outputs) for one in outcomes] == [1, 1, 0, 0]
    second, _ = await opened(tight)
    assert await second.process(rows[::-1]) == outcomes[::-1]
    loose, _ = await opened(with_policy(settings, tmp_path, {"budget.per_day": "3", "uncertain.score_below": "0.7"}))
    again = await loose.process(rows)
    assert again[:2] == outcomes[:2]
    assert [len(one.outputs) for one in again] == [1, 1, 1, 0]


async def test_chance_has_a_budget_of_its_own(opened: Any, settings: Settings, tmp_path: Path) -> None:
    """A day whose budget is spent still draws; where the random part is spent, a note may come for another reason and is no random sample."""
    stage, _ = await opened(
        with_policy(settings, tmp_path, {"random.share": "1.0", "random.per_day": "1", "budget.per_day": "1"})
    )
    found = samples(await stage.process(records(*(uncertain(n) for n in range(3)))))
    assert [one.reason for one in found] == ["random", "uncertain"]
    assert [word.partition(":")[0] for word in found[0].why] == ["random", "uncertain"]
    assert [word.partition(":")[0] for word in found[1].why] == ["uncertain"]


async def test_the_first_messages_of_a_sender(opened: Any, settings: Settings, tmp_path: Path) -> None:
    """So many of each sender, and the same ones when they come again; a message that does not say its sender is of no new one."""
    stage, _ = await opened(with_policy(settings, tmp_path, {"new_sender.messages": "2"}))
    rows = records(*(uncertain(n, 0.9, sender=sender) for n, sender in enumerate(["a", "a", "a", "b", ""])))
    for _ in range(2):
        outcomes = await stage.process(rows)
        assert [len(one.outputs) for one in outcomes] == [1, 1, 0, 1, 0]
    assert {one.reason for one in samples(outcomes)} == {"new_sender"}


async def test_a_rare_medication_without_a_code(opened: Any, settings: Settings, tmp_path: Path) -> None:
    """The first notes with a name that no vocabulary knows; one that it knows is not counted."""
    stage, _ = await opened(with_policy(settings, tmp_path, {"rare.name_notes": "1"}))
    rows = records(uncertain(1, 0.9), uncertain(2, 0.9))
    for _ in range(2):
        assert [len(one.outputs) for one in await stage.process(rows)] == [1, 0]
    linked = uncertain(3, 0.9, text="Takes zorbanol again.")
    code = Coding(system="http://www.nlm.nih.gov/research/umls/rxnorm", code="1", inferred="i")
    linked = msgspec.structs.replace(linked, mentions=tuple(msgspec.structs.replace(m, codes=(code,)) for m in linked.mentions))
    assert samples(await stage.process(records(linked))) == []


async def test_a_type_that_was_rare_in_the_days_before(opened: Any, settings: Settings, tmp_path: Path) -> None:
    """The share is of the days before the message, so that it does not depend on what came meanwhile; too few days judge nothing."""
    chosen = with_policy(settings, tmp_path, {"rare.notes_before": "20", "rare.types_below": "0.1"})
    stage, _ = await opened(chosen)
    plain = [
        findings(n, 0, **note(f"Chest pain {n}.", ("Chest pain", "finding", None)), time="2026-03-01T10:00:00Z")
        for n in range(30)
    ]
    assert samples(await stage.process(records(*plain))) == []
    rare = uncertain(100, 0.9)
    later, _ = await opened(chosen)
    assert [one.why for one in samples(await later.process(records(rare)))] == [("rare: rare type medication",)]
    common = findings(101, 0, **note("Chest pain.", ("Chest pain", "finding", None)))
    assert samples(await later.process(records(common))) == []
    early = uncertain(102, 0.9, time="2026-02-01T10:00:00Z")
    assert samples(await later.process(records(early))) == []


async def test_senders_whose_messages_have_shifted(opened: Any, settings: Settings, tmp_path: Path) -> None:
    """The watch's mark is of one sender and kind, and expires."""
    redis = connect(settings.redis)
    sender = uuid.uuid4().hex
    stage, _ = await opened(with_policy(settings, tmp_path, {"drift.share": "1.0"}))
    none, _ = await opened()
    await drift_marks.mark(redis, sender, "ORU^R01", 60)
    assert await drift_marks.marked(redis, sender, "ORU^R01")
    assert not await drift_marks.marked(redis, sender, "MDM^T02")
    rows = records(uncertain(1, 0.9, sender=sender), uncertain(2, 0.9, sender="other"))
    assert samples(await none.process(rows)) == []
    (sample,) = samples(await stage.process(rows))
    assert (sample.reason, sample.sender) == ("drift", sender)
    await redis.delete(drift_marks.place(sender, "ORU^R01"))
    assert samples(await stage.process(records(uncertain(3, 0.9, sender=sender)))) == []
    await redis.aclose()


LEAKING = TEXT + " Call Mr. John Smith, 555-867-5309."


async def test_a_note_with_an_identifier_becomes_no_sample(opened: Any, settings: Settings) -> None:
    """The second check withholds it, counts it, and keeps it for no card; without the check it would have gone out."""
    stage, metrics = await opened()
    leaking = uncertain(1, text=LEAKING)
    assert samples(await stage.process(records(decision(leaking, flag(leaking))))) == []
    assert withheld(metrics, "uncertain", "leak") == 1
    cards = await opened.cards()
    assert samples(await cards.process([answered("overridden")])) == []
    redis = connect(settings.redis)
    for key in await redis.keys(f"{settings.kafka.topic_prefix}*"):
        assert b"867-5309" not in (await redis.dump(key) or b"")
    await redis.aclose()
    blind, _ = await opened(check=lambda _: "")
    (sample,) = samples(await blind.process(records(decision(leaking, flag(leaking)))))
    assert "867-5309" in sample.note.text


async def test_an_overridden_card_proposes_the_note_behind_it(opened: Any) -> None:
    """Nothing else spoke for it; the sample says what was answered, for which flag, and carries its message's own headers."""
    stage, _ = await opened()
    message = uncertain(1, 0.9)
    assert samples(await stage.process(records(decision(message, flag(message))))) == []
    cards = await opened.cards()
    outcomes = await cards.process([answered("overridden", reason="wrong")])
    (sample,) = samples(outcomes)
    assert (sample.reason, sample.weak, sample.why) == ("overridden", {CARD: "overridden"}, ("overridden: wrong",))
    assert (sample.note, sample.flags) == (message.notes[0], (CARD,))
    (output,) = outcomes[0].outputs
    envelope = parse_headers(output.headers)
    assert (envelope.time, envelope.origin, envelope.subject) == (message.time, message.origin, TOKEN)
    assert await cards.process([answered("overridden", reason="wrong")]) == outcomes


async def test_an_answer_joins_the_sample_that_is_there(opened: Any, settings: Settings, tmp_path: Path) -> None:
    """One sample a note: same id and first reason, the newest answer of each flag beside; a decision that comes again keeps the answers."""
    stage, _ = await opened()
    message = uncertain(1)
    rows = records(decision(message, flag(message), flag(message, "other")))
    (before,) = samples(await stage.process(rows))
    cards = await opened.cards()
    (after,) = samples(await cards.process([answered("overridden")]))
    assert after == msgspec.structs.replace(before, weak={CARD: "overridden"})
    assert samples(await stage.process(rows)) == [after]
    await cards.process([answered("overridden", "2026-03-02T12:00:00Z", card="other")])
    full = with_policy(
        settings, tmp_path, {"cards.accepted": "0.0", "budget.per_day": "0"}
    )  # admitted before: neither share nor budget is asked again
    (last,) = samples(await (await opened.cards(full)).process([answered("accepted", "2026-03-02T12:00:00Z")]))
    assert last.weak == {CARD: "accepted", "other": "overridden"}
    (stale,) = samples(await cards.process([answered("overridden")]))  # redelivered: older than what is known
    assert stale.weak == last.weak


async def test_answers_have_budgets_and_shares_too(opened: Any, settings: Settings, tmp_path: Path) -> None:
    """Where a share is 0 or the budget spent, the answer is kept and nothing proposed; a card on a draft order has no note here."""
    stage, _ = await opened()
    message = uncertain(1, 0.9)
    await stage.process(records(decision(message, flag(message))))
    for changes in ({"cards.overridden": "0.0"}, {"budget.per_day": "0"}):
        cards = await opened.cards(with_policy(settings, tmp_path, changes))
        assert samples(await cards.process([answered("overridden")])) == []
    assert samples(await cards.process([answered("accepted", card=str(uuid.uuid4()))])) == []
    (refused,) = await cards.process([record(b"{}", topic=topics.FEEDBACK)])
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, Poison)


async def test_without_cards_no_note_is_kept(opened: Any, settings: Settings) -> None:
    """An installation without the CDS door keeps no text in Redis."""
    stage, _ = await opened(settings.model_copy(update={"cds": Cds(enabled=False)}))
    message = uncertain(1)
    assert samples(await stage.process(records(decision(message, flag(message)))))
    cards = await opened.cards()
    assert samples(await cards.process([answered("overridden")])) == []


async def test_an_erased_patient_s_notes_wait_for_no_card(opened: Any, settings: Settings) -> None:
    """What was kept of the patient is gone; another patient's stays."""
    stage, _ = await opened()
    mine, other = uncertain(1), uncertain(2, subject="W00000000000001")
    await stage.process(records(decision(mine, flag(mine)), decision(other, flag(other, "other"))))
    cards = await opened.cards()
    assert len(samples(await cards.process([answered("overridden")]))) == 1
    redis = connect(settings.redis)
    await feedback_store(settings, redis).forget(TOKEN)
    await redis.aclose()
    assert samples(await cards.process([answered("overridden")])) == []
    assert len(samples(await cards.process([answered("overridden", card="other")]))) == 1
