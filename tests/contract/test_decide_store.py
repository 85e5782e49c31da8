"""Contexts and outcomes, in memory and in a real Redis: written together, never lost to a race, the same again for the same message."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest

from agents.decide.agent import DecideStage
from agents.decide.context import PatientContext, merge
from agents.decide.merge_agent import MergeStage, apply
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider, Outcome
from agents.decide.store import Change, ContextStore, Held, MemoryContextStore, RedisContextStore
from schemas.envelope import JSON, DataClass, Envelope, parse_headers
from schemas.errors import Reason, StoreUnavailable
from schemas.findings import Findings
from schemas.flags import Decision
from schemas.ids import derived_id
from schemas.merges import Merge
from streams import topics
from streams.record import Record
from streams.settings import Kafka, Redis, Settings
from streams.stage import Done, Refused
from streams.store import connect
from tests.support.decide import DAY, TOKEN, creatinine, findings

CONTEXT = PatientContext(clock=7, sex="F")
OUTCOME = Outcome((), {"rule": "clear"})


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ContextStore]:
    if request.param == "memory":
        yield MemoryContextStore()
        return
    client = connect(Redis(url=request.getfixturevalue("redis_server")))
    yield RedisContextStore(client, prefix=f"{uuid.uuid4()}.")
    await client.aclose()


async def test_a_new_patient_has_an_empty_context(store: ContextStore) -> None:
    """Nothing is known, at revision 0."""
    assert await store.load(["t"], ["d"]) == ({"t": Held(PatientContext(), 0)}, {})


async def test_context_and_outcomes_are_written_together(store: ContextStore) -> None:
    """What was committed is what is loaded."""
    assert await store.commit([Change("t", 0, CONTEXT, {"d": OUTCOME})]) == frozenset()
    contexts, outcomes = await store.load(["t", "u"], ["d", "e"])
    assert contexts == {"t": Held(CONTEXT, 1), "u": Held(PatientContext(), 0)}
    assert outcomes == {"d": OUTCOME}


async def test_a_context_that_moved_on_is_not_overwritten(store: ContextStore) -> None:
    """The second of two writers at one revision is told so, and none of its outcomes is kept; other patients are untouched by that."""
    await store.commit([Change("t", 0, CONTEXT, {})])
    changes = [Change("t", 0, PatientContext(clock=9), {"late": OUTCOME}), Change("u", 0, CONTEXT, {"fine": OUTCOME})]
    assert await store.commit(changes) == {"t"}
    contexts, outcomes = await store.load(["t", "u"], ["late", "fine"])
    assert contexts == {"t": Held(CONTEXT, 1), "u": Held(CONTEXT, 1)}
    assert outcomes == {"fine": OUTCOME}


async def test_a_forgotten_patient_is_new(store: ContextStore) -> None:
    """Erasure leaves neither a context behind nor an outcome of any batch; other patients keep theirs."""
    await store.commit([Change("t", 0, CONTEXT, {"d": OUTCOME, "e": OUTCOME}), Change("u", 0, CONTEXT, {"other": OUTCOME})])
    await store.commit([Change("t", 1, CONTEXT, {"f": OUTCOME})])
    await store.forget("t")
    contexts, outcomes = await store.load(["t", "u"], ["d", "e", "f", "other"])
    assert contexts == {"t": Held(PatientContext(), 0), "u": Held(CONTEXT, 1)}
    assert outcomes == {"other": OUTCOME}
    await store.forget("t")  # nothing left is nothing to do


async def test_the_index_of_outcomes_does_not_grow_for_ever(redis_server: str) -> None:
    """What expired is taken out of it by the next commit, and it expires itself."""
    client = connect(Redis(url=redis_server))
    prefix = f"{uuid.uuid4()}."
    store = RedisContextStore(client, prefix=prefix, outcome_ttl_s=1)
    await store.commit([Change("t", 0, CONTEXT, {"d": OUTCOME})])
    await asyncio.sleep(0.9)
    longer = RedisContextStore(client, prefix=prefix, outcome_ttl_s=60)
    await longer.commit([Change("t", 1, CONTEXT, {"e": OUTCOME})])
    await asyncio.sleep(1.2)
    await longer.commit([Change("t", 2, CONTEXT, {"f": OUTCOME})])
    names = {name.decode() for name in await client.zrange(f"{prefix}o:t", 0, -1)}
    assert names == {f"{prefix}d:e", f"{prefix}d:f"}
    assert 0 < await client.ttl(f"{prefix}o:t") <= 60
    await client.aclose()


async def test_contexts_and_outcomes_expire(redis_server: str) -> None:
    """Both keys have an expiry, the context's renewed by every message."""
    client = connect(Redis(url=redis_server))
    prefix = f"{uuid.uuid4()}."
    store = RedisContextStore(client, prefix=prefix, context_ttl_s=1000, outcome_ttl_s=500)
    await store.commit([Change("t", 0, CONTEXT, {"d": OUTCOME})])
    assert 990 < await client.ttl(f"{prefix}c:t") <= 1000
    assert 490 < await client.ttl(f"{prefix}d:d") <= 500
    await client.aclose()


async def test_an_unreachable_store_is_retryable() -> None:
    """Nothing is decided without the context."""
    client = connect(Redis(url="redis://127.0.0.1:1/0", timeout_s=0.2))
    with pytest.raises(StoreUnavailable):
        await RedisContextStore(client).load(["t"], [])
    await client.aclose()


def record(one: Findings, offset: int = 0, *, headers: Envelope | None = None, value: bytes | None = None) -> Record:
    envelope = headers or Envelope(
        id=one.id,
        source="/agents/extract",
        type=topics.BY_NAME[topics.EXTRACTED].event_type,
        time=one.time,
        content_type=JSON,
        data_class=DataClass.INTERNAL,
        origin=one.origin,
        subject=one.subject,
        policy="safe_harbor-1",
        model="entities-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    payload = msgspec.json.encode(one) if value is None else value
    return Record(topics.EXTRACTED, 0, offset, 0, one.subject.encode(), payload, envelope.headers())


def site(redis_server: str, prefix: str) -> Settings:
    return Settings(redis=Redis(url=redis_server), kafka=Kafka(topic_prefix=prefix))


STREAM = [
    findings(1, 0, creatinine("a", "1.0", 0)),
    findings(2, DAY, creatinine("b", "1.6", DAY)),
    findings(3, DAY + 60, creatinine("c", "2.4", DAY + 60)),
    findings(4, DAY + 90, creatinine("other", "9.0", DAY + 90), subject="W2222222222222X"),
]


def outputs(outcomes: object) -> list[tuple[bytes | None, tuple[tuple[str, bytes], ...]]]:
    assert isinstance(outcomes, list)
    return [(o.value, o.headers) for outcome in outcomes if isinstance(outcome, Done) for o in outcome.outputs]


async def test_records_of_one_patient_in_one_batch_see_each_other(redis_server: str) -> None:
    """The second message's flag needs the first one's value, the third replaces the second's flag."""
    stage = DecideStage(site(redis_server, f"{uuid.uuid4()}."))
    await stage.open()
    outcomes = await stage.process([record(one, n) for n, one in enumerate(STREAM)])
    decisions = [msgspec.json.decode(value or b"", type=Decision) for value, _ in outputs(outcomes)]
    await stage.close()
    assert [len(decision.flags) for decision in decisions] == [0, 1, 1, 0]
    assert decisions[2].flags[0].supersedes == decisions[1].flags[0].id
    assert decisions[3].findings.subject == "W2222222222222X"


async def test_a_decision_carries_the_envelope_on(redis_server: str) -> None:
    """Time, origin, trace and subject go on unchanged; id, type and versions are the decision's own."""
    stage = DecideStage(site(redis_server, f"{uuid.uuid4()}."))
    await stage.open()
    ((value, headers),) = outputs(await stage.process([record(STREAM[0])]))
    await stage.close()
    envelope, decision = parse_headers(headers), msgspec.json.decode(value or b"", type=Decision)
    assert envelope.id == decision.id != STREAM[0].id
    assert (envelope.time, envelope.origin, envelope.subject) == (STREAM[0].time, STREAM[0].origin, TOKEN)
    assert envelope.traceparent is not None
    assert envelope.model == f"entities-1+{Decider(RuleSet.load()).version}"
    assert decision.findings.versions.flag_rules == Decider(RuleSet.load()).version


async def test_a_message_read_again_by_another_model_tells_its_flag_under_the_same_id(redis_server: str) -> None:
    """Who upserts by flag id is told once, even where a release came between delivery and redelivery."""
    first, second = STREAM[:2]
    newer = msgspec.structs.replace(second.versions, entity_model="wardstream-entities/2")
    again = msgspec.structs.replace(second, id=derived_id(second.origin, "extract", model="entities-2"), versions=newer)
    stage = DecideStage(site(redis_server, f"{uuid.uuid4()}."))
    await stage.open()
    outcomes = [outcome for one in (first, second, again) for outcome in await stage.process([record(one)])]
    await stage.close()
    _, before, after = (msgspec.json.decode(value or b"", type=Decision) for value, _ in outputs(outcomes))
    assert before.id != after.id
    assert [flag.id for flag in before.flags] == [flag.id for flag in after.flags] != []
    assert before.flags[0].supersedes == after.flags[0].supersedes == ""


async def test_redelivery_gives_the_same_bytes(redis_server: str) -> None:
    """Any part of the stream again, after a crash or in other batches: the same records byte for byte."""
    settings = site(redis_server, f"{uuid.uuid4()}.")
    first = DecideStage(settings)
    await first.open()
    records = [record(one, n) for n, one in enumerate(STREAM)]
    whole = outputs(await first.process(records))
    await first.close()
    second = DecideStage(settings)
    await second.open()
    assert outputs(await second.process(records[1:3])) == whole[1:3]
    assert outputs(await second.process([records[0], records[0]])) == [whole[0], whole[0]]
    assert outputs(await second.process(records)) == whole
    await second.close()


async def test_without_outcomes_redelivery_would_differ() -> None:
    """The negative control of the test above: the context alone suppresses what it has already raised."""
    decider = Decider(RuleSet.load())
    context, first = PatientContext(), []
    for one in STREAM[:3]:
        decision, context = decider.decide(one, context)
        first.append(decision)
    again = [decider.decide(one, context)[0] for one in STREAM[:3]]
    assert again != first


async def test_a_lost_partition_s_worker_cannot_spoil_the_context(redis_server: str) -> None:
    """Two workers that both think the partition is theirs come to one result; the slower one decides again on what stands."""
    settings = site(redis_server, f"{uuid.uuid4()}.")
    stages = [DecideStage(settings), DecideStage(settings)]
    for stage in stages:
        await stage.open()
    records = [record(one, n) for n, one in enumerate(STREAM)]
    alone = outputs(await stages[0].process(records[:1]))
    raced = await asyncio.gather(*(stage.process(records) for stage in stages))
    for stage in stages:
        await stage.close()
    assert outputs(raced[0]) == outputs(raced[1])
    assert outputs(raced[0])[:1] == alone


@pytest.mark.parametrize("value", [b"", b"{", b'{"schema":"findings.v9"}', b"\xff\xfe", b'{"schema":"findings.v1","id":7}'])
async def test_what_is_no_findings_record_is_refused(redis_server: str, value: bytes) -> None:
    """A coded refusal without a word of the record; its neighbours in the batch are decided."""
    stage = DecideStage(site(redis_server, f"{uuid.uuid4()}."))
    await stage.open()
    bad, good = await stage.process([record(STREAM[0], value=value), record(STREAM[0])])
    await stage.close()
    assert isinstance(bad, Refused)
    assert (bad.error.reason, bad.error.path, bad.error.__cause__) == (Reason.SCHEMA_MISMATCH, "value", None)
    assert isinstance(good, Done)


async def test_a_record_of_another_subject_than_its_header_is_refused(redis_server: str) -> None:
    """Nobody's context is written under another token."""
    stage = DecideStage(site(redis_server, f"{uuid.uuid4()}."))
    await stage.open()
    right = parse_headers(record(STREAM[0]).headers)
    (outcome,) = await stage.process([record(STREAM[0], headers=msgspec.structs.replace(right, subject="W9"))])
    await stage.close()
    assert isinstance(outcome, Refused)
    assert outcome.error.path == "ce_subject"


MERGE = Merge(id="m", time="2026-03-02T10:15:00.000Z", survivor="t", retired="u", delta_minutes=-3 * DAY)


async def test_a_merge_moves_the_context_once(store: ContextStore) -> None:
    """The retired token's facts stand under the survivor on its clock, an erasure of the survivor reaches the outcomes; again: no change."""
    early = merge(PatientContext(), findings(0, DAY, creatinine("a", "1.0", DAY)))
    late = merge(PatientContext(), findings(1, 5 * DAY, creatinine("b", "2.1", 5 * DAY)))
    await store.commit([Change("t", 0, early, {}), Change("u", 0, late, {"of-u": OUTCOME})])
    await apply(MERGE, store)
    first, _ = await store.load(["t", "u"], [])
    assert {key: row.fact.elapsed for key, row in first["t"].context.facts.items()} == {"a": DAY, "b": 2 * DAY}
    assert first["t"].context.clock == 2 * DAY
    assert first["u"] == Held(PatientContext(), 0)
    await apply(MERGE, store)
    assert (await store.load(["t", "u"], []))[0] == first
    await store.forget("t")
    assert await store.load(["t"], ["of-u"]) == ({"t": Held(PatientContext(), 0)}, {})


async def test_a_merge_does_not_overwrite_a_context_that_moved_on(store: ContextStore) -> None:
    """With an old revision of either token nothing is written."""
    await store.commit([Change("t", 0, CONTEXT, {}), Change("u", 0, CONTEXT, {})])
    assert not await store.merge(Change("t", 0, PatientContext(), {}), "u", 1)
    assert not await store.merge(Change("t", 1, PatientContext(), {}), "u", 0)
    assert (await store.load(["t", "u"], []))[0] == {"t": Held(CONTEXT, 1), "u": Held(CONTEXT, 1)}


async def test_after_a_merge_the_rules_see_both_parts_of_the_record(store: ContextStore) -> None:
    """A rise whose baseline was filed under the retired token is a flag of the survivor."""
    await store.commit([Change("u", 0, merge(PatientContext(), findings(0, 4 * DAY, creatinine("a", "1.0", 4 * DAY))), {})])
    await apply(MERGE, store)
    held, _ = await store.load(["t"], [])
    decision, _ = Decider(RuleSet.load()).decide(findings(1, 2 * DAY, creatinine("b", "2.1", 2 * DAY)), held["t"].context)
    assert [flag.type for flag in decision.flags] == ["aki.kdigo"]


async def test_the_merge_stage_reads_the_record_of_the_topic(redis_server: str) -> None:
    """A record with its envelope moves the context; one that is no merge is refused."""
    prefix = f"{uuid.uuid4()}."
    stage = MergeStage(Settings(redis=Redis(url=redis_server), kafka=Kafka(topic_prefix=prefix)))
    client = connect(Redis(url=redis_server))
    kept = RedisContextStore(client, prefix=prefix)
    await kept.commit([Change("u", 0, CONTEXT, {})])
    await stage.open()
    headers = Envelope(
        id="m", source="/agents/deidentify", type=topics.BY_NAME[topics.MERGED].event_type, time=MERGE.time,
        content_type=JSON, data_class=DataClass.INTERNAL, origin="o", subject="u",
    ).headers()  # fmt: skip
    rows = [Record(topics.MERGED, 0, n, 0, b"u", value, headers) for n, value in enumerate((msgspec.json.encode(MERGE), b"{}"))]
    done, refused = await stage.process(rows)
    assert done == Done()
    assert isinstance(refused, Refused)
    assert refused.error.reason is Reason.SCHEMA_MISMATCH
    held, _ = await kept.load(["t", "u"], [])
    assert (held["t"].context.sex, held["t"].context.clock, held["u"].revision) == ("F", 7 - 3 * DAY, 0)
    await stage.close()
    await client.aclose()
