"""The vault's behaviour, the same in memory and on a real Redis."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest

from agents.vault.backend import MemoryBackend, RedisBackend
from agents.vault.contract import Kind, PatientRequest, VaultRequest, link, wanted, weak_link
from agents.vault.vault import EPOCH_FROM, EPOCH_UNTIL, TokenVault
from schemas.errors import StoreUnavailable, UnsupportedContent
from schemas.identity import Person, Role
from streams.settings import Redis
from streams.store import connect
from tests.support.deid import patient_request, vault_on
from tests.support.keyring import known_keyring

MakeVault = Callable[[int], TokenVault]
_tenants = itertools.count()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def make_vault(request: pytest.FixtureRequest) -> Iterator[MakeVault]:
    """Vaults with caches of their own over the same rows, as several workers have them."""
    if request.param == "memory":
        shared = MemoryBackend()
        yield lambda seed: vault_on(shared, seed=seed)
        return
    url = request.getfixturevalue("redis_server")
    tenant = f"t{next(_tenants)}"
    known_keyring(url, tenant)
    yield lambda seed: vault_on(RedisBackend(connect(Redis(url=url)), tenant), seed=seed, tenant=tenant)


MRN, OTHER, NHS = link("north", "100200300"), link("south", "100200300"), link("nhs", "900800700")


async def test_a_patient_has_one_token_for_ever(make_vault: MakeVault) -> None:
    """Another worker with another random source finds the token that the first one made, and the same clock."""
    (first,) = await make_vault(1).resolve([patient_request(MRN)])
    (again,) = await make_vault(2).resolve([patient_request(MRN)])
    assert (first.subject, first.epoch) == (again.subject, again.epoch)
    assert EPOCH_FROM <= first.epoch < EPOCH_UNTIL


async def test_all_numbers_of_a_patient_lead_to_one_token(make_vault: MakeVault) -> None:
    """A second number that came with the first one finds the patient alone afterwards."""
    vault = make_vault(1)
    (first,) = await vault.resolve([patient_request(MRN, NHS)])
    (second,) = await make_vault(2).resolve([patient_request(NHS)])
    assert first.subject == second.subject


async def test_equal_digits_at_two_authorities_are_two_patients(make_vault: MakeVault) -> None:
    """The same number under another authority is another patient, in the same batch too."""
    one, two = await make_vault(1).resolve([patient_request(MRN), patient_request(OTHER)])
    assert one.subject != two.subject


async def test_a_patient_new_twice_in_a_batch_gets_one_token(make_vault: MakeVault) -> None:
    """Two messages of an unknown patient in one batch share the token, whichever of the numbers they carry."""
    answers = await make_vault(1).resolve([patient_request(MRN), patient_request(NHS, MRN), patient_request(NHS)])
    assert len({answer.subject for answer in answers}) == 1


async def test_workers_that_race_agree(make_vault: MakeVault) -> None:
    """Eight workers that meet an unknown patient at the same time give one token."""
    vaults = [make_vault(seed) for seed in range(8)]
    answers = await asyncio.gather(*(vault.resolve([patient_request(MRN, NHS)]) for vault in vaults))
    assert len({answer.subject for (answer,) in answers}) == 1
    assert len({answer.epoch for (answer,) in answers}) == 1


async def test_a_logical_id_finds_the_patient(make_vault: MakeVault) -> None:
    """An observation that knows only ``Patient/1`` before the patient comes leads to the same token afterwards."""
    weak = weak_link("1")
    (early,) = await make_vault(1).resolve([patient_request(weak=[weak])])
    (named,) = await make_vault(2).resolve([patient_request(MRN, weak=[weak], identifiers=[("north", "100200300")])])
    (late,) = await make_vault(3).resolve([patient_request(MRN)])
    assert early.subject == named.subject == late.subject


async def test_a_logical_id_never_joins_two_numbers_of_one_authority(make_vault: MakeVault) -> None:
    """``Patient/1`` of a second server with another number of the same authority is another patient."""
    weak = weak_link("1")
    (one,) = await make_vault(1).resolve([patient_request(MRN, weak=[weak], identifiers=[("north", "100200300")])])
    second = link("north", "555")
    (two,) = await make_vault(2).resolve([patient_request(second, weak=[weak], identifiers=[("north", "555")])])
    (three,) = await make_vault(3).resolve([patient_request(second)])
    assert one.subject != two.subject == three.subject


async def test_numbers_keep_their_tokens_and_lead_back(make_vault: MakeVault) -> None:
    """An order number gives the same token in every message, and the vault knows what it stands for."""
    key = wanted(Kind.NUMBER, "p-77")
    (one,) = await make_vault(1).resolve([patient_request(MRN, wanted=[key])])
    (two,) = await make_vault(2).resolve([patient_request(OTHER, wanted=[key])])
    token = one.tokens[key]
    assert token == two.tokens[key] != one.subject
    found = await make_vault(3).originals([token, one.subject, "100200300"])
    assert {name: number.value for name, number in found.items()} == {token: "P-77"}


async def test_message_numbers_are_not_stored(make_vault: MakeVault) -> None:
    """A control id has a stable token that the vault cannot lead back."""
    key = wanted(Kind.MESSAGE, "MSG1")
    (one,) = await make_vault(1).resolve([patient_request(MRN, wanted=[key])])
    (two,) = await make_vault(2).resolve([patient_request(MRN, wanted=[key])])
    assert one.tokens[key] == two.tokens[key]
    assert await make_vault(1).originals([one.tokens[key]]) == {}


async def test_a_message_without_a_patient_gets_the_token_of_its_number(make_vault: MakeVault) -> None:
    """The subject is the token of the control id, the same on every delivery."""
    request = patient_request()
    (one,) = await make_vault(1).resolve([request])
    (two,) = await make_vault(2).resolve([request])
    assert one.subject == two.subject
    assert one.epoch == two.epoch


async def test_reidentification_gives_the_newest_identity(make_vault: MakeVault) -> None:
    """The record holds what the last message said and every number that any message said."""
    (answer,) = await make_vault(1).resolve([patient_request(MRN, identifiers=[("north", "100200300")], family="Maiden")])
    await make_vault(2).resolve([patient_request(MRN, NHS, identifiers=[("nhs", "900800700")], family="Married")])
    record = await make_vault(3).reidentify(answer.subject)
    assert [name.family for name in record.person.names] == ["Married"]
    assert {identifier.value for identifier in record.person.identifiers} == {"100200300", "900800700"}
    assert record.epoch == answer.epoch


@pytest.mark.parametrize("token", ["", "A00000000000000", "100200300", "v:{t1}:i"])
async def test_an_unknown_token_is_nobody(make_vault: MakeVault, token: str) -> None:
    """What is no token of a patient cannot be re-identified."""
    with pytest.raises(UnsupportedContent):
        await make_vault(1).reidentify(token)


async def test_an_erased_patient_is_gone_and_starts_anew(make_vault: MakeVault) -> None:
    """After erasure the token leads nowhere; a new message of that person gets a new token on every number."""
    vault = make_vault(1)
    (answer,) = await vault.resolve([patient_request(MRN, NHS, identifiers=[("north", "100200300")])])
    assert await vault.erase(answer.subject)
    assert not await vault.erase(answer.subject)
    with pytest.raises(UnsupportedContent):
        await make_vault(2).reidentify(answer.subject)
    (mrn,) = await make_vault(3).resolve([patient_request(MRN)])
    (nhs,) = await make_vault(4).resolve([patient_request(NHS)])
    assert answer.subject not in {mrn.subject, nhs.subject}


async def test_a_taken_token_is_never_given_twice() -> None:
    """Two vaults with the same randomness give two patients two tokens."""
    shared = MemoryBackend()
    (one,) = await vault_on(shared, seed=1).resolve([patient_request(MRN)])
    (two,) = await vault_on(shared, seed=1).resolve([patient_request(OTHER)])
    assert one.subject != two.subject


async def test_no_store_no_token() -> None:
    """Without Redis nothing is invented: the caller is told to come back."""
    vault = vault_on(RedisBackend(connect(Redis(url="redis://127.0.0.1:1/0", timeout_s=0.2)), "t1"))
    with pytest.raises(StoreUnavailable):
        await vault.resolve([patient_request(MRN)])


@pytest.mark.redis
async def test_redis_holds_no_identifier(redis_server: str) -> None:
    """Neither keys nor values of the store show a name or a number."""
    store = connect(Redis(url=redis_server))
    known_keyring(redis_server, "bare")
    vault = vault_on(RedisBackend(store, "bare"), tenant="bare")
    key = wanted(Kind.NUMBER, "ORDER4711")
    await vault.resolve([patient_request(MRN, wanted=[key], identifiers=[("north", "100200300")], family="Quillfeather")])
    names = [name async for name in store.scan_iter(match="v:{bare}:[ir]:*")]
    dump = b"\n".join([*names, *[value for value in await store.mget(names) if value]])
    assert len(names) >= 4
    for text in (b"100200300", b"Quillfeather", b"ORDER4711", b"north"):
        assert text not in dump


async def test_an_interrupted_erasure_is_finished_when_asked_again() -> None:
    """The record went, the process ended before the links did: the second erasure removes them, and the patient starts anew."""

    class Interrupted(MemoryBackend):
        broken = True

        async def delete(self, keys: Sequence[str]) -> int:
            done = await super().delete(keys)
            if self.broken:
                raise StoreUnavailable
            return done

    backend = Interrupted()
    vault = vault_on(backend)
    request = patient_request(link("north", "100200300"))
    (answer,) = await vault.resolve([request])
    with pytest.raises(StoreUnavailable):
        await vault.erase(answer.subject)
    backend.broken = False
    assert await vault.erase(answer.subject)
    (later,) = await vault_on(backend, seed=8).resolve([request])
    assert later.subject != answer.subject


MERGE_NUMBERS = (link("north", "100200300"), link("north", "100200399"))


def merge_request(survivor: str, retired: str) -> VaultRequest:
    """``A40``: PID has the survivor's number, MRG the retired one."""
    one, two = (
        patient_request(key, identifiers=[("north", key.rpartition("\x1f")[2])]).patients[0] for key in (survivor, retired)
    )
    return VaultRequest(patients=(one, two), retires=1, fallback=wanted(Kind.MESSAGE, "M40"))


async def test_a_merge_makes_one_patient_of_two(make_vault: MakeVault) -> None:
    """The retired number leads to the survivor from now on; the message itself still names both, and how their clocks differ."""
    keep, gone = MERGE_NUMBERS
    vault = make_vault(1)
    one, two = await vault.resolve([patient_request(keep), patient_request(gone)])
    (merged,) = await make_vault(2).resolve([merge_request(keep, gone)])
    assert merged.patients == (one.subject, two.subject)
    assert merged.merged is not None
    assert (merged.merged.token, merged.merged.delta) == (two.subject, two.epoch - one.epoch)
    (later,) = await make_vault(3).resolve([patient_request(gone)])
    assert (later.subject, later.epoch, later.secret) == (one.subject, one.epoch, one.secret)
    record = await make_vault(4).reidentify(one.subject)
    assert {identifier.value for identifier in record.person.identifiers} == {"100200300", "100200399"}
    assert (await make_vault(4).reidentify(two.subject)).epoch == two.epoch  # for what was published before


async def test_a_merge_that_comes_again_gives_the_same(make_vault: MakeVault) -> None:
    """Redelivered or replayed, by the worker that did it or another: same tokens, same event, no third token."""
    keep, gone = MERGE_NUMBERS
    vault = make_vault(1)
    await vault.resolve([patient_request(keep), patient_request(gone)])
    answers = [(await each.resolve([merge_request(keep, gone)]))[0] for each in (vault, vault, make_vault(2))]
    assert len({(a.patients, a.merged) for a in answers}) == 1


async def test_a_merge_of_a_number_that_was_never_seen(make_vault: MakeVault) -> None:
    """The retired number gets a token of its own, so that the event names one, and leads to the survivor."""
    keep, gone = MERGE_NUMBERS
    (merged,) = await make_vault(1).resolve([merge_request(keep, gone)])
    assert len(set(merged.patients)) == 2
    (later,) = await make_vault(2).resolve([patient_request(gone)])
    assert later.subject == merged.subject


async def test_messages_after_a_merge_in_one_batch_know_of_it(make_vault: MakeVault) -> None:
    """Order within a batch counts: before the merge two patients, after it one."""
    keep, gone = MERGE_NUMBERS
    before, merged, after = await make_vault(1).resolve([patient_request(gone), merge_request(keep, gone), patient_request(gone)])
    assert before.subject == merged.patients[1] != merged.subject
    assert after.subject == merged.subject


async def test_merges_chain(make_vault: MakeVault) -> None:
    """A into B, B into C: every number leads to C, and erasing any of the three tokens erases all."""
    a, b, c = (link("north", f"30000{n}") for n in range(3))
    vault = make_vault(1)
    first, second, third = await vault.resolve([patient_request(key) for key in (a, b, c)])
    await make_vault(2).resolve([merge_request(b, a)])
    await make_vault(3).resolve([merge_request(c, b)])
    answers = await make_vault(4).resolve([patient_request(key) for key in (a, b, c)])
    assert {answer.subject for answer in answers} == {third.subject}
    tokens = await make_vault(5).tokens(first.subject)
    assert (tokens[0], set(tokens)) == (third.subject, {first.subject, second.subject, third.subject})
    assert await make_vault(6).erase(first.subject)
    for token in tokens:
        with pytest.raises(UnsupportedContent):
            await make_vault(7).reidentify(token)
    fresh = await make_vault(8).resolve([patient_request(key) for key in (a, b, c)])
    assert not {answer.subject for answer in fresh} & set(tokens)


async def test_one_number_twice_is_no_merge(make_vault: MakeVault) -> None:
    """PID and MRG with the same number, or MRG with none that links: nothing happens."""
    keep, _ = MERGE_NUMBERS
    (same,) = await make_vault(1).resolve([merge_request(keep, keep)])
    assert same.merged is None
    nobody = PatientRequest(person=Person(role=Role.PATIENT))
    none = VaultRequest(patients=(*patient_request(keep).patients, nobody), retires=1, fallback=wanted(Kind.MESSAGE, "M"))
    assert (await make_vault(1).resolve([none]))[0].merged is None


async def test_erasing_one_patient_leaves_links_that_lead_elsewhere(make_vault: MakeVault) -> None:
    """A number that a message named beside a patient but that is another's keeps its own patient when the first is erased."""
    vault = make_vault(1)
    one, two = await vault.resolve([patient_request(MRN), patient_request(NHS)])
    await make_vault(2).resolve([patient_request(MRN, NHS)])  # a mix-up: both numbers in one PID
    assert await make_vault(3).erase(one.subject)
    (still,) = await make_vault(4).resolve([patient_request(NHS)])
    assert still.subject == two.subject
