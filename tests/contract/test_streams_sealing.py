"""Raw payloads under a key per patient, on a real Redis: sealed, opened, and gone for good when the key is."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from redis import ResponseError

from schemas.envelope import HL7_V2
from schemas.errors import MalformedMessage, Reason, StoreUnavailable, UnsupportedContent
from streams.keyring import Keyring, keyring_row
from streams.sealing import MAGIC, Seal, is_sealed, row_of, tombstone_of
from streams.settings import Redis
from streams.store import Store, connect
from tests.support.keyring import RING, known_keyring

PAYLOAD = b"MSH|^~\\&|LAB|NORTHGATE\rPID|1||100200307||Quillfeather^Jonas\r"


@pytest.fixture
async def store(redis_server: str) -> AsyncIterator[Store]:
    client = connect(Redis(url=redis_server))
    yield client
    await client.aclose()


@pytest.fixture
def tenant(redis_server: str) -> str:
    name = uuid.uuid4().hex
    known_keyring(redis_server, name)
    return name


async def test_what_is_sealed_opens_again_and_tells_nothing(store: Store, tenant: str) -> None:
    """Two processes share the key of a patient; the sealed form holds no word of the message, and differs each time."""
    door, worker = (Seal(store, RING, tenant=tenant, cache_s=s) for s in (0, 240))
    sealed = [await door.seal(b"ab12", HL7_V2, PAYLOAD) for _ in range(3)]
    assert [await worker.unseal(b"ab12", HL7_V2, one) for one in sealed] == [PAYLOAD] * 3
    assert len(set(sealed)) == 3
    assert all(is_sealed(one) and b"Quill" not in one and b"PID" not in one for one in sealed)
    assert b"Quill" not in (await store.get(row_of(tenant, b"ab12")) or b"")


async def test_a_destroyed_key_takes_every_copy_with_it(store: Store, tenant: str) -> None:
    """Old records stay closed, also when the patient comes again and gets a new key; other patients are untouched."""
    door = Seal(store, RING, tenant=tenant, cache_s=0)
    old, other = await door.seal(b"ab12", HL7_V2, PAYLOAD), await door.seal(b"cd34", HL7_V2, PAYLOAD)
    row = await store.get(row_of(tenant, b"ab12"))
    assert isinstance(row, bytes)
    await store.set(tombstone_of(tenant, row), b"1")
    await store.delete(row_of(tenant, b"ab12"))
    for _ in range(2):
        with pytest.raises(UnsupportedContent) as gone:
            await door.unseal(b"ab12", HL7_V2, old)
        assert gone.value.reason is Reason.PAYLOAD_ERASED
        new = await door.seal(b"ab12", HL7_V2, PAYLOAD)
    assert await door.unseal(b"ab12", HL7_V2, new) == PAYLOAD
    assert await door.unseal(b"cd34", HL7_V2, other) == PAYLOAD


async def test_a_lost_key_is_told_from_an_erasure(store: Store, tenant: str) -> None:
    """Its record is refused by a code of its own, also when the patient has a new key by now; with the key back it opens."""
    door = Seal(store, RING, tenant=tenant, cache_s=0)
    old = await door.seal(b"ab12", HL7_V2, PAYLOAD)
    kept = await store.get(row_of(tenant, b"ab12"))
    await store.delete(row_of(tenant, b"ab12"))
    for _ in range(2):
        with pytest.raises(UnsupportedContent) as lost:
            await door.unseal(b"ab12", HL7_V2, old)
        assert lost.value.reason is Reason.PAYLOAD_KEY_LOST
        await door.seal(b"ab12", HL7_V2, PAYLOAD)
    await store.set(row_of(tenant, b"ab12"), kept or b"")
    assert await door.unseal(b"ab12", HL7_V2, old) == PAYLOAD


async def test_an_emptied_store_stops_the_stream(store: Store, tenant: str) -> None:
    """Without the keyring nobody can say what was lost: retryable, nothing becomes a dead letter."""
    door = Seal(store, RING, tenant=tenant, cache_s=0)
    sealed = await door.seal(b"ab12", HL7_V2, PAYLOAD)
    await store.delete(row_of(tenant, b"ab12"), keyring_row(tenant))
    with pytest.raises(StoreUnavailable) as caught:
        await door.unseal(b"ab12", HL7_V2, sealed)
    assert caught.value.path == "keyring"


@pytest.mark.parametrize("change", ["payload", "content type", "record"])
async def test_what_was_changed_or_moved_does_not_open(change: str, store: Store, tenant: str) -> None:
    """A flipped byte and another content type are damage; under another record's key the data key is not there."""
    door = Seal(store, RING, tenant=tenant, cache_s=0)
    sealed = await door.seal(b"ab12", HL7_V2, PAYLOAD)
    await door.seal(b"cd34", HL7_V2, PAYLOAD)
    key, kind = (b"cd34" if change == "record" else b"ab12"), ("text/plain" if change == "content type" else HL7_V2)
    if change == "payload":
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    with pytest.raises(UnsupportedContent if change == "record" else MalformedMessage):
        await door.unseal(key, kind, sealed)


async def test_in_clear_passes_and_other_master_keys_do_not(store: Store, tenant: str) -> None:
    """Records of an integration engine are not sealed; a key row of another installation opens nothing."""
    door = Seal(store, RING, tenant=tenant, cache_s=0)
    assert await door.unseal(b"ab12", HL7_V2, PAYLOAD) == PAYLOAD
    sealed = await door.seal(b"ab12", HL7_V2, PAYLOAD)
    with pytest.raises(StoreUnavailable):
        await Seal(store, Keyring.of(bytes(32)), tenant=tenant, cache_s=0).unseal(b"ab12", HL7_V2, sealed)


async def test_without_the_store_nothing_is_sealed(tenant: str) -> None:
    """Retryable: the sender is told to come back, and no payload goes out in clear."""
    away = connect(Redis(url="redis://127.0.0.1:1/0", timeout_s=0.2))
    with pytest.raises(StoreUnavailable):
        await Seal(away, RING, tenant=tenant, cache_s=0).seal(b"ab12", HL7_V2, PAYLOAD)
    await away.aclose()


async def test_an_error_of_the_store_reaches_everybody_who_waits(store: Store, tenant: str) -> None:
    """A row of another type (or a store too old for a command) ends in an error for all, and nobody waits for ever."""
    await store.sadd(row_of(tenant, b"ab12"), "x")
    seal = Seal(store, RING, tenant=tenant, cache_s=0)
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(seal.seal(b"ab12", HL7_V2, PAYLOAD) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, ResponseError) for answer in answers)


def test_no_message_looks_sealed() -> None:
    """The mark is no UTF-8 and begins no HL7 message."""
    with pytest.raises(UnicodeDecodeError):
        MAGIC.decode()
    assert not is_sealed(PAYLOAD)
    assert not is_sealed(b'{"resourceType": "Patient"}')
