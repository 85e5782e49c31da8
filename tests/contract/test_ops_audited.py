"""Telling who a token is, and erasing: audited before they have an effect, on both brokers and a real Redis, through the commands."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from agents.decide.context import PatientContext
from agents.decide.store import Change, MemoryContextStore, RedisContextStore
from agents.deidentify.cipher import ValueCipher
from agents.vault.contract import Kind as NumberKind
from agents.vault.contract import PatientRequest, VaultRequest, link, wanted
from agents.vault.memory import MemoryVault
from agents.vault.vault import open_vault
from ops.audited import Act, erase, reidentify
from ops.cli import cli
from ops.operators import account
from schemas.envelope import HL7_V2
from schemas.errors import BrokerUnavailable, Reason, UnsupportedContent
from schemas.identity import Identifier, Person, PersonName, Role
from streams import admin, topics
from streams.key_encryption.file import master_key
from streams.keyring import read_keyring
from streams.record import Output
from streams.sealing import open_seal
from streams.settings import Settings, load
from streams.store import connect
from tests.support.deid import patient_request
from tests.support.labels import label, sample
from tests.support.streams_site import Site
from training.label_store.store import LabelStore

PERSON = Person(
    role=Role.PATIENT,
    names=(PersonName(family="Quillfeather", given=("Jonas",)),),
    identifiers=(Identifier(value="100200307", system="NORTHGATE", type="MR"),),
)
REQUEST = VaultRequest(
    patients=(PatientRequest(person=PERSON, links=(link("northgate", "100200307"),)),), fallback=wanted(NumberKind.MESSAGE, "m")
)
ACT = Act("6f2e", "jane", "TREAT", datetime(2026, 1, 2, tzinfo=UTC))


class Nothing:
    """No sample and no label of anybody."""

    def keys(self, tokens: Collection[str]) -> Sequence[tuple[str, bytes]]:
        return []


NOTHING = Nothing()


@dataclass
class Recorded:
    """A log in a list; ``broken`` acknowledges nothing."""

    outputs: list[Output] = field(default_factory=list)
    broken: bool = False

    async def produce(self, output: Output) -> None:
        if self.broken:
            raise BrokerUnavailable(path=output.topic)
        self.outputs.append(output)


async def test_nothing_is_told_without_an_acknowledged_entry() -> None:
    """The log does not answer: no record comes back; it answers: the entry says who asked, why and about which token."""
    vault = MemoryVault(seed=1)
    ((token,),) = [answer.patients for answer in await vault.resolve([REQUEST])]
    with pytest.raises(BrokerUnavailable):
        await reidentify(vault, Recorded(broken=True), token, ACT)
    log = Recorded()
    record = await reidentify(vault, log, token, ACT)
    assert record.person.names == PERSON.names
    (entry,) = log.outputs
    told = json.loads(entry.value or b"")
    assert (entry.topic, told["outcome"], told["agent"], told["purpose"], told["subject"]) == (
        topics.AUDIT,
        "success",
        "jane",
        "TREAT",
        token,
    )
    assert b"Quillfeather" not in (entry.value or b"") + b"".join(value for _, value in entry.headers)


async def test_asking_for_nobody_is_audited_too() -> None:
    """A token without a record gives an error, and an entry of failure."""
    log = Recorded()
    with pytest.raises(UnsupportedContent):
        await reidentify(MemoryVault(seed=1), log, "A" * 15, ACT)
    assert json.loads(log.outputs[0].value or b"")["outcome"] == "failure"


async def test_nothing_is_erased_without_an_acknowledged_entry() -> None:
    """The log does not answer: the record is still there; it answers: record and context are gone, entry and event remain, in this order."""
    vault, contexts = MemoryVault(seed=1), MemoryContextStore()
    ((token,),) = [answer.patients for answer in await vault.resolve([REQUEST])]
    await contexts.commit([Change(token, 0, PatientContext(clock=7), {})])
    with pytest.raises(BrokerUnavailable):
        await erase(vault, contexts, NOTHING, Recorded(broken=True), token, ACT)
    assert (await vault.reidentify(token)).person.names == PERSON.names
    log = Recorded()
    assert await erase(vault, contexts, NOTHING, log, token, ACT)
    with pytest.raises(UnsupportedContent):
        await vault.reidentify(token)
    assert (await contexts.load([token], []))[0][token].revision == 0
    assert [output.topic for output in log.outputs] == [topics.AUDIT, topics.ERASURE]
    assert not await erase(vault, contexts, NOTHING, log, token, ACT)
    assert len(log.outputs) == 4


async def test_a_number_finds_its_token_and_makes_none() -> None:
    """Looking a number up never enrols anybody."""
    vault = MemoryVault(seed=1)
    assert await vault.token_of("northgate", "100200307") is None
    ((token,),) = [answer.patients for answer in await vault.resolve([REQUEST])]
    assert await vault.token_of("northgate", " 100200307 ") == token
    assert await vault.token_of("elsewhere", "100200307") is None


async def test_erasing_a_merged_patient_reaches_every_token() -> None:
    """Context, entry and event of the retired token too, whichever of the two tokens is named."""
    vault, contexts, log = MemoryVault(seed=1), MemoryContextStore(), Recorded()
    other = patient_request(link("northgate", "100200308"))
    survivor, retired = (answer.subject for answer in await vault.resolve([REQUEST, other]))
    await contexts.commit([Change(token, 0, PatientContext(clock=7), {}) for token in (survivor, retired)])
    await vault.resolve([VaultRequest(patients=(*REQUEST.patients, *other.patients), retires=1, fallback=other.fallback)])
    assert await erase(vault, contexts, NOTHING, log, retired, ACT)
    held, _ = await contexts.load([survivor, retired], [])
    assert {row.revision for row in held.values()} == {0}
    for topic in (topics.AUDIT, topics.ERASURE):
        assert {output.key for output in log.outputs if output.topic == topic} == {survivor.encode(), retired.encode()}
    assert len({dict(output.headers)["ce_id"] for output in log.outputs}) == 4


def test_without_the_role_nothing_is_told_and_the_attempt_is_recorded(
    run: Callable[..., Result], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account is the operating system's; a name given by hand opens nothing."""
    for role in ("REIDENTIFY", "DECRYPT", "ERASE"):
        monkeypatch.setenv(f"WARDSTREAM_OPERATORS__{role}", '["somebody-else"]')
    told = run("reidentify", "A" * 15, "--purpose", "TREAT", "--agent", "somebody-else")
    plain = run("decrypt", "enc1.AAAA", "--purpose", "TREAT", "--agent", "somebody-else")
    gone = run("erase", "A" * 15, "--yes", "--agent", "somebody-else")
    assert (told.exit_code, plain.exit_code, gone.exit_code) == (1, 1, 1)
    assert "operators.reidentify" in told.output
    entries = [json.loads(m.value() or b"") for m in site.read(topics.AUDIT, at_least=3)]
    assert {(e["action"], e["outcome"]) for e in entries} == {(a, "failure") for a in ("reidentify", "decrypt", "erase")}
    assert {e["agent"] for e in entries} == {f"{account()} for somebody-else"}


def test_a_number_in_the_place_of_a_token_goes_nowhere(run: Callable[..., Result], site: Site) -> None:
    """Typed by mistake, it is refused before anything is recorded, and not repeated."""
    for arguments in (("reidentify", "100200307", "--purpose", "TREAT"), ("erase", "100200307", "--yes")):
        refused = run(*arguments)
        assert refused.exit_code == 2
        assert "100200307" not in refused.output
    assert run("reidentify", "A" * 15, "--purpose", "TREAT").exit_code == 1
    (entry,) = site.read(topics.AUDIT, at_least=1)
    assert entry.key() == b"A" * 15


def test_encrypted_values_are_told_with_a_purpose_and_an_entry_each(run: Callable[..., Result], site: Site) -> None:
    """What this installation wrote comes back in clear; what it did not is an empty line and exit 1; the log names values by digest."""
    settings = load()
    cipher = ValueCipher(asyncio.run(read_keyring(settings)), settings.deid.tenant)
    sealed = cipher.encrypt("Quillfeather")
    told = run("decrypt", "--purpose", "PUBHLTH", sealed, "enc1.AAAA")
    assert (told.exit_code, told.stdout) == (1, "Quillfeather\n\n")
    assert run("decrypt", sealed).exit_code == 2
    entries = [json.loads(m.value() or b"") for m in site.read(topics.AUDIT, at_least=2)]
    assert sorted(e["outcome"] for e in entries) == ["failure", "success"]
    assert hashlib.sha256(sealed.encode()).hexdigest() in {e["record"] for e in entries}


@pytest.fixture
def run(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line on this installation, with a master key of its own."""
    key = tmp_path / "master.key"
    key.write_text(master_key())
    for name, value in {
        **site.environment(),
        "WARDSTREAM_SECRETS__MASTER_KEY_FILE": str(key),
        "WARDSTREAM_DEID__TENANT": uuid.uuid4().hex,
        **{f"WARDSTREAM_OPERATORS__{role}": json.dumps([account()]) for role in ("REIDENTIFY", "DECRYPT", "ERASE")},
    }.items():
        monkeypatch.setenv(name, value)
    kafka = site.settings.kafka
    admin.Admin(kafka).apply(
        admin.wanted(kafka, [topics.BY_NAME[name] for name in (topics.AUDIT, topics.ERASURE, topics.SAMPLE, topics.LABEL)])
    )
    assert CliRunner().invoke(cli, ["keys", "init"]).exit_code == 0
    return lambda *arguments, typed="": CliRunner().invoke(cli, arguments, input=typed)


def test_the_commands_tell_and_erase(run: Callable[..., Result], site: Site) -> None:
    """Told by token; erased by number; then nobody stands behind the token, context and raw messages are gone, and the log says who did
    what."""
    settings = load()
    token = asyncio.run(_enrolled(settings))
    sealed = asyncio.run(_sealed(settings, token))
    assert asyncio.run(_opens(settings, sealed))
    told = run("reidentify", token, "--purpose", "TREAT", "--agent", "jane", "--show", "name")
    assert (told.exit_code, told.stdout.strip()) == (0, "name: Jonas Quillfeather")
    assert run("reidentify", token, "--purpose", "CURIOUS").exit_code == 2
    erased = run("erase", "--authority", "NORTHGATE", "--yes", typed="100200307\n")
    assert (erased.exit_code, "erased" in erased.stdout) == (0, True), erased.output
    assert "100200307" not in erased.output
    assert not asyncio.run(_opens(settings, sealed))
    gone = run("reidentify", token, "--purpose", "TREAT")
    assert gone.exit_code == 1
    assert run("erase", "--authority", "NORTHGATE", "--yes", typed="100200307\n").exit_code == 1
    entries = [json.loads(m.value() or b"") for m in site.read(topics.AUDIT, at_least=3)]
    assert sorted((e["action"], e["outcome"]) for e in entries) == [
        ("erase", "success"),
        ("reidentify", "failure"),
        ("reidentify", "success"),
    ]
    (event,) = site.read(topics.ERASURE, at_least=1)
    assert (event.key(), json.loads(event.value() or b"")["subject"]) == (token.encode(), token)
    assert asyncio.run(_revision(settings, token)) == 0


def test_samples_and_labels_of_an_erased_patient_are_erased(run: Callable[..., Result], site: Site) -> None:
    """Their keys get records without a value, which compaction turns into nothing; other patients' stay; broken records hold nobody up."""
    settings = load()
    token, other = asyncio.run(_enrolled(settings)), "A" + "B" * 14
    log = Producer({"bootstrap.servers": settings.kafka.bootstrap})
    rows = [
        (topics.SAMPLE, b"s1", token),
        (topics.SAMPLE, b"s2", other),
        (topics.SAMPLE, b"s3", token),
        (topics.LABEL, b"l1", token),
        (topics.LABEL, b"l2", other),
    ]
    for topic, key, subject in rows:
        log.produce(settings.kafka.topic_prefix + topic, key=key, value=json.dumps({"subject": subject, "note": "text"}))
    log.produce(settings.kafka.topic_prefix + topics.SAMPLE, key=b"s4", value=b"\xff broken")
    assert log.flush(20) == 0
    assert run("erase", token, "--yes").exit_code == 0
    left: dict[bytes | None, bytes | None] = {}
    for topic, count in ((topics.SAMPLE, 6), (topics.LABEL, 3)):
        left |= {message.key(): message.value() for message in site.read(topic, at_least=count)}
    assert {key for key, value in left.items() if value is not None} == {b"s2", b"s4", b"l2"}
    assert {key for key, value in left.items() if value is None} == {b"s1", b"s3", b"l1"}
    for config in admin.wanted(settings.kafka, [topics.BY_NAME[topics.SAMPLE], topics.BY_NAME[topics.LABEL]]):
        assert config.name.endswith(".dlq") or "compact" in config.config["cleanup.policy"]


def test_an_erasure_reaches_the_store_of_labels(
    run: Callable[..., Result], site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patient's rows are gone, the models that saw them are named, marked and audited; a store that is away stops the erasure before it
    begins."""
    token = asyncio.run(_enrolled(load()))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WARDSTREAM_LABELS__STORE", str(tmp_path / "file" / "labels"))
    assert run("erase", token, "--yes").exit_code == 1
    assert run("reidentify", token, "--purpose", "TREAT").exit_code == 0
    monkeypatch.setenv("WARDSTREAM_LABELS__STORE", str(tmp_path / "labels"))
    store = LabelStore(str(tmp_path / "labels"))
    store.write([sample("a", token), label("l", "a", token), label("k", "b")])
    digest = store.manifest().digest
    for bundle, ids in (("b1" * 32, ["l", "k"]), ("b2" * 32, ["k"])):
        store.record_training(
            bundle, ids, name="wardstream-entities", version="1.0.0", time="2026-03-09T00:00:00Z", digest=digest
        )
    assert run("labels", "models").exit_code == 0
    done = run("erase", token, "--yes")
    assert done.exit_code == 0, done.output
    assert "1 samples and 1 labels taken out" in done.stdout
    assert "saw the patient's labels: wardstream-entities 1.0.0 b1b1b1b1b1b1" in done.stdout
    assert [one.id for one in store.labels()] == ["k"]
    models = run("labels", "models", "--json")
    assert (models.exit_code, {row["bundle"][:2]: len(row["erased"]) for row in json.loads(models.stdout)}) == (
        1,
        {"b1": 1, "b2": 0},
    )
    entries = [json.loads(m.value() or b"") for m in site.read(topics.AUDIT, at_least=3)]
    assert [e["record"] for e in entries if e["action"] == "erase" and e.get("record")] == ["b1" * 32]


async def _enrolled(settings: Settings) -> str:
    vault, store = await open_vault(settings), connect(settings.redis)
    (answer,) = await vault.resolve([REQUEST])
    await RedisContextStore(store, prefix=settings.kafka.topic_prefix).commit(
        [Change(answer.subject, 0, PatientContext(clock=7), {})]
    )
    await store.aclose()
    await vault.close()
    return answer.subject


async def _sealed(settings: Settings, token: str) -> bytes:
    """A raw message of the patient as it lies in the log, after de-identification has read it."""
    door, vault = await open_seal(settings, cache_s=0), await open_vault(settings)
    sealed = await door.seal(b"ab12", HL7_V2, b"MSH|^~\\&|LAB")
    await vault.remember_payload_keys([(token, b"ab12")])
    await vault.close()
    await door.close()
    return sealed


async def _opens(settings: Settings, sealed: bytes) -> bool:
    seal = await open_seal(settings, cache_s=0)
    try:
        return await seal.unseal(b"ab12", HL7_V2, sealed) == b"MSH|^~\\&|LAB"
    except UnsupportedContent as error:
        if error.reason is not Reason.PAYLOAD_ERASED:
            raise
        return False
    finally:
        await seal.close()


async def _revision(settings: Settings, token: str) -> int:
    store = connect(settings.redis)
    contexts, _ = await RedisContextStore(store, prefix=settings.kafka.topic_prefix).load([token], [])
    await store.aclose()
    return contexts[token].revision
