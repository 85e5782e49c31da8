"""The keyring on a real Redis: made once, rotated under load, missed when the store was emptied."""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.vault.backend import RedisBackend
from agents.vault.contract import Kind, link, wanted
from agents.vault.rotation import Pass, finish, renew, rotate
from agents.vault.vault import TokenVault, open_vault
from ops.stack import make_keyring
from schemas.envelope import HL7_V2
from schemas.errors import ConfigurationError, StoreUnavailable, UnsupportedContent
from streams.key_encryption.file import MasterKeyFile, master_key
from streams.keyring import KeyringStore, StaleKeyring, keyring_row, keyring_store
from streams.sealing import Seal, open_seal, row_of
from streams.settings import Deid, Redis, Secrets, Settings
from streams.store import connect
from tests.support.deid import patient_request

PAYLOAD = b"MSH|^~\\&|LAB|NORTHGATE\rPID|1||100200307\r"


@pytest.fixture
async def settings(redis_server: str, tmp_path: Path) -> Settings:
    key = tmp_path / "master.key"
    key.write_text(master_key())
    chosen = Settings(redis=Redis(url=redis_server), secrets=Secrets(master_key_file=key), deid=Deid(tenant=uuid.uuid4().hex))
    await make_keyring(chosen)
    return chosen


@pytest.fixture
async def keyring(settings: Settings) -> AsyncIterator[KeyringStore]:
    made = keyring_store(settings)
    yield made
    await made.close()


def request(number: int, **options: object):  # type: ignore[no-untyped-def]
    value = f"1002{number:05d}"
    return patient_request(link("north", value), wanted=[wanted(Kind.NUMBER, f"P-{number}")], identifiers=[("north", value)])


async def vaults(settings: Settings, count: int) -> list[TokenVault]:
    return [await open_vault(settings) for _ in range(count)]


async def test_there_is_one_keyring_and_it_is_made_by_hand(settings: Settings, keyring: KeyringStore) -> None:
    """A second is refused, so is another master key; nothing that it holds is readable in the store."""
    with pytest.raises(ConfigurationError, match="already"):
        await keyring.create()
    ring = await keyring.load()
    raw = await keyring.store.hgetall(keyring_row(settings.deid.tenant))
    assert not any(secret in value for secret in ring.secrets.values() for value in raw.values())
    path = settings.secrets.master_key_file
    assert path is not None
    path.write_text(master_key())
    with pytest.raises(ConfigurationError, match="another master key"):
        await keyring.load()


async def test_a_keyring_is_bound_to_its_tenant(settings: Settings, keyring: KeyringStore) -> None:
    """Moved to another tenant's row it does not open."""
    raw = await keyring.store.hgetall(keyring_row(settings.deid.tenant))
    await keyring.store.hset(keyring_row("other"), mapping=raw)
    with pytest.raises(ConfigurationError):
        await KeyringStore(keyring.store, MasterKeyFile(settings.secrets.master_key_file), "other").load()


async def test_an_emptied_store_gives_no_tokens_and_no_keys(settings: Settings, keyring: KeyringStore) -> None:
    """Whatever is asked of a store that came back empty waits (retryable), nobody's record is called unknown, and no process starts on it."""
    (vault,) = await vaults(settings, 1)
    seal = await open_seal(settings, cache_s=0)
    (known,) = await vault.resolve([request(1)])
    await keyring.store.delete(*[name async for name in keyring.store.scan_iter(match=f"*{settings.deid.tenant}*")])
    with pytest.raises(StoreUnavailable):
        await vault.resolve([request(2)])
    with pytest.raises(StoreUnavailable):
        await vault.reidentify(known.subject)
    with pytest.raises(StoreUnavailable):
        await seal.seal(b"ab12", HL7_V2, PAYLOAD)
    with pytest.raises(ConfigurationError, match="keyring"):
        await open_vault(settings)
    assert [name async for name in keyring.store.scan_iter(match=f"*{settings.deid.tenant}*")] == []


async def test_a_store_that_lost_only_its_keyring_gets_no_new_one(settings: Settings, keyring: KeyringStore) -> None:
    """Records without a keyring are a loss to be restored, not a new installation."""
    (vault,) = await vaults(settings, 1)
    await vault.resolve([request(1)])
    await keyring.store.delete(keyring_row(settings.deid.tenant))
    with pytest.raises(ConfigurationError, match="restore"):
        await keyring.create()


async def test_rotation_changes_every_key_and_no_token(settings: Settings, keyring: KeyringStore) -> None:
    """Old and new workers agree on patients, numbers and payloads; the old generation is gone, except for names."""
    old, door = (await vaults(settings, 1))[0], await open_seal(settings, cache_s=0)
    before = await old.resolve([request(n) for n in range(20)])
    sealed = [await door.seal(f"key{n}".encode(), HL7_V2, PAYLOAD) for n in range(20)]
    first = await keyring.load()
    passes: list[Pass] = []
    ring = await rotate(keyring, settings.deid.tenant, passes.append)
    assert passes[0].renewed == 20 + 20 + 20  # patients, numbers, payload keys
    assert (ring.primary, ring.names, set(ring.secrets)) == (2, 1, {1, 2})
    assert first.secrets[1] == ring.secrets[1] != ring.secrets[2]
    rows = [name async for name in keyring.store.scan_iter(match=f"v:{{{settings.deid.tenant}}}:i:1:*")]
    assert rows == []
    new = (await vaults(settings, 1))[0]
    for vault in (old, new):
        after = await vault.resolve([request(n) for n in range(20)])
        assert [(a.subject, a.epoch, a.tokens) for a in after] == [(b.subject, b.epoch, b.tokens) for b in before]
    fresh = await open_seal(settings, cache_s=0)
    for seal in (door, fresh):
        assert [await seal.unseal(f"key{n}".encode(), HL7_V2, one) for n, one in enumerate(sealed)] == [PAYLOAD] * 20
    third = await rotate(keyring, settings.deid.tenant)
    assert set(third.secrets) == {1, 3}  # what generation 2 protected is renewed, and it names nothing


async def test_a_worker_of_before_the_rotation_makes_no_second_token(settings: Settings, keyring: KeyringStore) -> None:
    """Neither for a patient who came with the new generation, nor does it write under the old one."""
    old = (await vaults(settings, 1))[0]
    await rotate(keyring, settings.deid.tenant)
    new = (await vaults(settings, 1))[0]
    (one,) = await new.resolve([request(7)])
    (other,) = await old.resolve([request(7)])
    assert (one.subject, one.tokens) == (other.subject, other.tokens)
    (alone,) = await old.resolve([request(8)])
    assert (await new.resolve([request(8)]))[0].subject == alone.subject
    done = await renew(keyring.store, await keyring.load(), settings.deid.tenant)
    assert set(done.generations) == {2}


async def test_rotation_under_load_loses_nothing(settings: Settings, keyring: KeyringStore) -> None:
    """Four workers enrol, link, erase and seal while keys are rotated three times: one token for each patient, every payload opens."""
    workers, seals = await vaults(settings, 4), [await open_seal(settings, cache_s=0.05) for _ in range(2)]
    tokens: dict[int, set[str]] = {}
    sealed: list[tuple[bytes, bytes]] = []
    stop = asyncio.Event()
    numbers = itertools.count()

    async def work(vault: TokenVault, seed: int) -> None:
        choice = random.Random(seed)
        while not stop.is_set():
            wanted_now = sorted({choice.randrange(200) for _ in range(5)})
            for number, answer in zip(wanted_now, await vault.resolve([request(n) for n in wanted_now]), strict=True):
                tokens.setdefault(number, set()).add(answer.subject)
            await asyncio.sleep(0.002)

    async def post(seal: Seal) -> None:
        while not stop.is_set():
            key = f"k{next(numbers) % 60}".encode()
            sealed.append((key, await seal.seal(key, HL7_V2, PAYLOAD)))
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        for seed, vault in enumerate(workers):
            group.create_task(work(vault, seed))
        for seal in seals:
            group.create_task(post(seal))
        for _ in range(3):
            await asyncio.sleep(0.2)
            await rotate(keyring, settings.deid.tenant)
        stop.set()
    ring = await finish(keyring, settings.deid.tenant, await keyring.load())
    assert set(ring.secrets) == {1, 4}
    assert len(tokens) > 100
    assert {len(each) for each in tokens.values()} == {1}
    reader, opener = (await vaults(settings, 1))[0], await open_seal(settings, cache_s=0)
    answers = await reader.resolve([request(n) for n in tokens])
    assert [{a.subject} for a in answers] == list(tokens.values())
    assert len(sealed) > 60
    assert {await opener.unseal(key, HL7_V2, one) for key, one in sealed} == {PAYLOAD}


async def test_the_control_a_writer_that_ignores_the_version_loses_a_patient(settings: Settings, keyring: KeyringStore) -> None:
    """Without the check of the version in the store a stale worker gives a second token: the check is what holds."""

    class Blind(RedisBackend):
        async def claim(self, claims, version):  # type: ignore[no-untyped-def]
            current = await keyring.load()
            return await super().claim(claims, current.version)

    ring = await keyring.load()
    await rotate(keyring, settings.deid.tenant)
    new = (await vaults(settings, 1))[0]
    (one,) = await new.resolve([request(7)])
    stale = TokenVault(
        Blind(connect(settings.redis), settings.deid.tenant), ring, tenant=settings.deid.tenant, randomness=random.Random(1)
    )
    (two,) = await stale.resolve([request(7)])
    assert one.subject != two.subject


async def test_two_rotations_at_once_are_one(settings: Settings, keyring: KeyringStore) -> None:
    """The second is told that it is late and changes nothing."""
    ring = await keyring.load()
    await keyring.replace(ring, ring.with_generation())
    with pytest.raises(StaleKeyring):
        await keyring.replace(ring, ring.with_generation())
    assert (await keyring.load()).primary == 2


async def test_rows_of_another_keyring_keep_the_old_generation(settings: Settings, keyring: KeyringStore) -> None:
    """What cannot be read is counted and not called done."""
    (vault,) = await vaults(settings, 1)
    await vault.resolve([request(1)])
    await keyring.store.set(f"v:{{{settings.deid.tenant}}}:r:A00000000000001", b"\x02\x01" + bytes(120))
    passes: list[Pass] = []
    first = await rotate(keyring, settings.deid.tenant, passes.append)
    second = await rotate(keyring, settings.deid.tenant)
    assert passes[-1].unreadable == 1
    assert set(first.secrets) == {1, 2}
    assert set(second.secrets) == {1, 2, 3}


async def test_the_key_encryption_key_rotates_alone(settings: Settings, keyring: KeyringStore) -> None:
    """A new master key wraps the keyring; afterwards the old line can go; before it, both are needed."""
    path = settings.secrets.master_key_file
    assert path is not None
    ring = await keyring.load()
    await keyring.rotate_keeper()
    assert (await keyring.load()).secrets == ring.secrets
    await keyring.replace(ring, ring)
    path.write_text(path.read_text().split()[-1])
    assert (await keyring.load()).secrets == ring.secrets


async def test_erasure_after_a_rotation_reaches_rows_of_both_generations(settings: Settings, keyring: KeyringStore) -> None:
    """In the middle of a rotation, records are new and some index rows old: nothing of the patient stays."""
    (vault,) = await vaults(settings, 1)
    (made,) = await vault.resolve([request(1)])
    door = await open_seal(settings, cache_s=0)
    old = await door.seal(b"ab12", HL7_V2, PAYLOAD)
    await vault.remember_payload_keys([(made.subject, b"ab12")])
    ring = await keyring.load()
    await keyring.replace(ring, ring.with_generation())
    assert await vault.erase(made.subject)
    assert await keyring.store.get(row_of(settings.deid.tenant, b"ab12")) is None
    with pytest.raises(UnsupportedContent):
        await door.unseal(b"ab12", HL7_V2, old)
    (again,) = await (await vaults(settings, 1))[0].resolve([request(1)])
    assert again.subject != made.subject
