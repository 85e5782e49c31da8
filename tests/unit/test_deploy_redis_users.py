"""deploy/redis-users.acl on a real Redis: each principal can do its work, and nothing beside it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis
import structlog

from agents import second_check
from agents.decide.context import PatientContext
from agents.decide.merge_agent import apply
from agents.decide.step import Outcome
from agents.decide.store import Change, RedisContextStore
from agents.feedback import watch
from agents.feedback.agent import feedback_store
from agents.feedback.cards_agent import FeedbackCardsStage
from agents.feedback.drift import Group
from agents.feedback.watch_store import WatchStore
from agents.pipeline import BY_STAGE
from agents.publish.cards import card
from agents.publish.notification import News
from agents.publish.outbox import Outbox, State
from agents.publish.subscriptions import Subscription
from agents.vault.backend import RedisBackend
from agents.vault.contract import link
from gateway.duplicates import RedisLedger
from schemas.cards import CardFeedback, KeptCard
from schemas.envelope import JSON, DataClass, Envelope
from schemas.errors import StoreUnavailable, UnsupportedContent
from schemas.flags import Basis, Decision, Flag, Rule
from schemas.merges import Merge
from streams import drift_marks, embedded
from streams.card_index import forget_cards, move_cards, rows_of
from streams.record import Record
from streams.sealing import Seal
from streams.settings import Cds, Redis, Settings
from streams.stage import Done
from streams.store import Store, connect
from streams.suspects import Suspects
from tests.support.cds import flag
from tests.support.decide import TOKEN, findings, note
from tests.support.deid import patient_request, vault_on
from tests.support.keyring import RING, known_keyring

ACL = Path(__file__).resolve().parents[2] / "deploy" / "redis-users.acl"
LINES = ACL.read_text().splitlines()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of a Redis that knows only the users of the file, and the password file of all of them."""
    directory = tmp_path_factory.mktemp("redis")
    password = directory / "password"
    password.write_text("a-password-of-the-test\n")
    digest = hashlib.sha256(b"a-password-of-the-test").hexdigest()
    with embedded.redis_server(directory) as server:
        host, _, port = server.address.rpartition(":")
        root = redis.Redis(host, int(port))
        known_keyring(f"redis://{server.address}/0", "default")
        old = int(str(root.info("server")["redis_version"]).partition(".")[0]) < 7
        # the default user last: it is the one that we are
        for line in sorted(LINES, key=lambda line: line.startswith("user default")):
            line = line.replace("PASSWORD_SHA256", digest)
            # before Redis 7 a key pattern cannot be for reading alone; what publish may not do then rests on its commands
            root.execute_command("ACL", "SETUSER", *(line.replace("%R~", "~") if old else line).split()[1:])
        yield server.address, password


def _store(guarded: tuple[str, Path], user: str) -> Store:
    address, password = guarded
    return connect(Redis(url=f"redis://{user}@{address}/0", password_file=password))


def test_there_is_a_user_for_every_process_and_no_other() -> None:
    """One principal a stage, one for each door, one each for whoever erases and for whoever makes and rotates keys; the default user is off."""
    assert {line.split()[1] for line in LINES} == {"default", "gateway", "cds", "erase", "keys", *BY_STAGE}
    assert "user default off" in LINES


@pytest.mark.parametrize("stage", sorted(BY_STAGE))
async def test_every_worker_can_note_what_is_in_flight(guarded: tuple[str, Path], stage: str) -> None:
    """The notes that find a killing record work under the stage's own user, and only for its own group."""
    store = _store(guarded, stage)
    suspects = Suspects(store, f"wardstream-{stage}", clock=time.monotonic, log=structlog.get_logger())
    record = Record("t", 0, 1, 0, b"k", b"v", ())
    await suspects.begin([record])
    assert await store.hgetall(f"wardstream:inflight:wardstream-{stage}")
    assert await suspects.deaths_before(record) == 1
    await suspects.survived(record)
    await suspects.done([record])
    assert not await store.hgetall(f"wardstream:inflight:wardstream-{stage}")
    with pytest.raises(StoreUnavailable):
        await store.hgetall("wardstream:inflight:wardstream-other")
    await store.aclose()


async def test_the_door_seals_deidentify_opens_and_erase_destroys(guarded: tuple[str, Path]) -> None:
    """Each under its own user; no other stage can have a payload key, and the door none of the vault's rows."""
    door, worker = (Seal(_store(guarded, user), RING, tenant="default", cache_s=0) for user in ("gateway", "deidentify"))
    sealed = await door.seal(b"ab12", "x", b"payload")
    assert await worker.unseal(b"ab12", "x", sealed) == b"payload"
    vault = vault_on(RedisBackend(_store(guarded, "deidentify"), "default"), seed=4, tenant="default")
    (made,) = await vault.resolve([patient_request(link("north", "100200301"))])
    await vault.remember_payload_keys([(made.subject, b"ab12")])
    for user in sorted({"publish", "extract", "decide"}):
        with pytest.raises(StoreUnavailable):
            await Seal(_store(guarded, user), RING, tenant="default", cache_s=0).unseal(b"ab12", "x", sealed)
    with pytest.raises(StoreUnavailable):
        await vault_on(RedisBackend(_store(guarded, "gateway"), "default"), seed=5, tenant="default").erase(made.subject)
    eraser = vault_on(RedisBackend(_store(guarded, "erase"), "default"), seed=6, tenant="default")
    assert await eraser.erase(made.subject)
    await RedisContextStore(_store(guarded, "erase")).forget(made.subject)
    with pytest.raises(UnsupportedContent):
        await worker.unseal(b"ab12", "x", sealed)


async def test_deidentify_makes_tokens_and_publish_only_reads_them(guarded: tuple[str, Path]) -> None:
    """The vault works for deidentify; publish re-identifies and can write nothing (cards and merge_cards as publish); nobody else sees a row."""
    writer = vault_on(RedisBackend(_store(guarded, "deidentify"), "default"), seed=1, tenant="default")
    (made,) = await writer.resolve([patient_request(link("north", "100200300"))])
    reader = vault_on(RedisBackend(_store(guarded, "publish"), "default"), seed=2, tenant="default")
    assert (await reader.reidentify(made.subject)).epoch == made.epoch
    with pytest.raises(StoreUnavailable):
        await reader.resolve([patient_request(link("north", "999"))])
    for user in sorted({"gateway", "cds", *BY_STAGE} - {"deidentify", "publish", "cards", "merge_cards"}):
        other = vault_on(RedisBackend(_store(guarded, user), "default"), seed=3, tenant="default")
        with pytest.raises(StoreUnavailable):
            await other.reidentify(made.subject)
        await other.close()
    await writer.close()
    await reader.close()


async def test_merge_moves_a_context_that_decide_wrote(guarded: tuple[str, Path]) -> None:
    """The user of the merge stage may do exactly what a merge needs."""
    decide, merge = (RedisContextStore(_store(guarded, user)) for user in ("decide", "merge"))
    await decide.commit([Change("m2", 0, PatientContext(sex="F"), {"d": Outcome((), {})})])
    await apply(Merge(id="m", time="2026-03-02T10:15:00.000Z", survivor="m1", retired="m2", delta_minutes=5), merge)
    held, _ = await decide.load(["m1", "m2"], [])
    assert (held["m1"].context.sex, held["m2"].revision) == ("F", 0)


async def test_merge_cards_moves_what_cards_wrote(guarded: tuple[str, Path]) -> None:
    """The user of the stage may do exactly what moving cards needs, and cards itself may not; the door reads them and an erasure reaches them."""
    cards, merging, door = (_store(guarded, user) for user in ("cards", "merge_cards", "cds"))
    kept = msgspec.json.encode(KeptCard(type="t", time="2026-03-02T10:15:00.000Z", card=card(flag())))
    await cards.hset("h:default:c:old", "f", kept)
    await cards.sadd(rows_of("default", "u"), "h:default:c:old")
    with pytest.raises(StoreUnavailable):
        await move_cards(cards, "default", "u", "t", ["h:default:c:new"], 60)
    await move_cards(merging, "default", "u", "t", ["h:default:c:new"], 60)
    assert await door.hvals("h:default:c:new") == [kept]
    assert await door.hvals("h:default:c:old") == []
    with pytest.raises(StoreUnavailable):
        await merging.hset("c:t", "c", b"")
    erase = _store(guarded, "erase")
    await forget_cards(erase, "default", ["t"])
    assert await door.hvals("h:default:c:new") == []
    for store in (cards, merging, door, erase):
        await store.aclose()


@pytest.mark.parametrize("stage", ["notify", "notify_results"])
async def test_subscribers_notifications_wait_under_the_stage_that_tells_them(guarded: tuple[str, Path], stage: str) -> None:
    """Numbered, leased, sent and taken away under the stage's own user; the other one's are out of its reach."""
    store = _store(guarded, stage)
    one = Subscription(name="a", endpoint="https://a.example", results="deid")
    box = Outbox(store, one, stage=stage, kept=1)
    for number in range(3):
        await box.add(f"r{number}", News("2026-03-02T10:15:00Z", 1))
    await box.mark("active")
    waiting = await box.first()
    assert waiting is not None
    assert (waiting.last, await box.state()) == (3, State(3, "active"))
    assert [await box.lease(owner, 60) for owner in ("x", "y", "x")] == [True, False, True]
    await box.told(waiting)
    await box.release("x")
    assert await box.lease("y", 60)
    other = ({"notify", "notify_results"} - {stage}).pop()
    with pytest.raises(StoreUnavailable):
        await Outbox(store, one, stage=other, kept=1).first()
    await store.aclose()


async def test_decide_keeps_contexts_that_no_other_stage_reads(guarded: tuple[str, Path]) -> None:
    """A context is committed and loaded under decide; extract is refused."""
    store = _store(guarded, "decide")
    contexts = RedisContextStore(store)
    assert await contexts.commit([Change("s1", 0, PatientContext(), {})]) == frozenset()
    held, _ = await contexts.load(["s1"], ["d1"])
    assert held["s1"].revision == 1
    other = _store(guarded, "extract")
    with pytest.raises(StoreUnavailable):
        await RedisContextStore(other).load(["s1"], [])
    await store.aclose()
    await other.aclose()


async def test_feedback_keeps_budgets_and_notes_that_no_other_stage_reads(guarded: tuple[str, Path]) -> None:
    """Both stages work under their own users and see the watch's marks; decide sees nothing of them, erase can delete the notes."""
    address, password = guarded

    def settings(user: str) -> Settings:
        return Settings(redis=Redis(url=f"redis://{user}@{address}/0", password_file=password), cds=Cds(enabled=True))

    message = findings(1, 0, **note("Takes zorbanol.", ("zorbanol", "medication", None)), sender="north")
    flag = Flag(
        id="f1", type="t", kind="rule", severity="warning", subject=TOKEN, summary="s",
        basis=Basis(logic="l", citation="c"), rule=Rule(id="r", version="1", sha256="0"),
    )  # fmt: skip
    stage, cards = second_check.build(settings("feedback")), FeedbackCardsStage(settings("feedback_cards"))
    decision = Decision(id="d1", findings=message, flags=(flag,))
    envelope = Envelope(
        id="d1", source="s", type="t", time=message.time, content_type=JSON, data_class=DataClass.INTERNAL, origin="o"
    )
    said = CardFeedback(id="c1", card="f1", service="s", outcome="overridden", time=message.time, issuer="i")
    await stage.open()
    await cards.open()
    assert await stage.process([Record("t", 0, 0, 0, b"k", msgspec.json.encode(decision), envelope.headers())])
    (done,) = await cards.process([Record("t", 0, 0, 0, b"k", msgspec.json.encode(said), envelope.headers())])
    assert isinstance(done, Done)
    assert len(done.outputs) == 1
    with pytest.raises(StoreUnavailable):
        await feedback_store(settings("decide"), _store(guarded, "decide")).kept(["f1"])
    await feedback_store(settings("erase"), _store(guarded, "erase")).forget(TOKEN)
    (done,) = await cards.process([Record("t", 0, 0, 0, b"k", msgspec.json.encode(said), envelope.headers())])
    assert done == Done()
    await stage.close()
    await cards.close()


async def test_the_watch_counts_judges_marks_and_forgets(guarded: tuple[str, Path]) -> None:
    """All that the stage and the report do in the store, under the stage's user; another stage sees nothing of it."""
    store = _store(guarded, "watch")
    counts = WatchStore(store, prefix="", ttl_s=60, most=5)
    group = Group(sender="S", department="", kind="ORU^R01", entity_model="m@1")
    assert await counts.count([(group, str(number), {"flags": 0}, 1) for number in range(3)]) == [0, 1, 2]
    held = await counts.load(group, await counts.newest(group))
    assert held.window(0) == (2, {"flags": {0: 2}})
    assert await counts.commit(group, held.revision, watch.State(judged=0))
    assert not await counts.commit(group, held.revision, watch.State(judged=1))
    assert await counts.standing() == []
    assert await counts.groups() == [(group, 3)]
    await drift_marks.mark(store, "S", "ORU^R01", 60)
    await counts.forget(group)
    assert await counts.groups() == []
    with pytest.raises(StoreUnavailable):
        await WatchStore(_store(guarded, "feedback"), prefix="", ttl_s=60, most=5).groups()
    await store.aclose()


async def test_gateway_remembers_what_it_acknowledged(guarded: tuple[str, Path]) -> None:
    """The duplicate ledger works under the gateway's user."""
    store = _store(guarded, "gateway")
    failures: list[int] = []
    ledger = RedisLedger(store, namespace="", ttl_s=60, monotonic=time.monotonic, failed=lambda: failures.append(1))
    await ledger.record(b"k", b"d")
    assert await ledger.find(b"k") == b"d"
    assert not failures
    await store.aclose()


async def test_the_default_user_is_out(guarded: tuple[str, Path]) -> None:
    """Without a user of the file nothing is answered."""
    address, _ = guarded
    store = connect(Redis(url=f"redis://{address}/0"))
    with pytest.raises(StoreUnavailable):
        await store.get("x")
    await store.aclose()
