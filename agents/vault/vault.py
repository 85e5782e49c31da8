"""The vault: identifiers in, tokens out, and for the audited release the way back.

Rows (``{tenant}`` with its braces, which keep one tenant on one Redis Cluster slot):
``v:{tenant}:i:<generation>:<hmac>`` -> token, ``v:{tenant}:r:<token>`` -> sealed record, ``v:{tenant}:k:<token>`` -> record keys of its sealed
raw messages, ``v:{tenant}:keyring`` -> the keyring (``streams.keyring``), without which nothing is written: an emptied store gives no tokens.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from agents.vault.backend import Backend, Claim, Commit, MemoryBackend, RedisBackend
from agents.vault.contract import (
    SEPARATOR,
    Kind,
    Merged,
    PatientRecord,
    PatientRequest,
    Pseudonyms,
    VaultRequest,
    authority,
    link,
)
from agents.vault.keys import Keys
from agents.vault.records import revision, seal, unseal
from agents.vault.tokens import Randomness, from_bits, is_token, new_token
from schemas.errors import Reason, StoreUnavailable, UnsupportedContent
from schemas.identity import Identifier, Person, Role
from streams.keyring import Keyring, StaleKeyring, keyring_lost, open_keyring
from streams.sealing import row_of, tombstone_of
from streams.settings import Settings

T = TypeVar("T", bound=msgspec.Struct)
A = TypeVar("A")

#: Patients' clocks begin at a minute of the years 1600 to 1899: so far back that every event comes after it, and so wide a range that
#: the year of an event, which Safe Harbor leaves, narrows the minute down in one case of three hundred at most, and then not far.
EPOCH_FROM, EPOCH_UNTIL = -194_596_560, -36_817_920

#: Erasure must reach every cache (standards: at most five minutes).
CACHE_S = 240.0
_CACHE_ROWS = 50_000
_MOST_IDENTIFIERS = 64
#: Links of one patient; more are an attack, not a patient. What comes after them leads nowhere.
_MOST_LINKS = 256
_MESSAGE = Kind.MESSAGE.value + SEPARATOR
_ATTEMPTS = 8


class Number(msgspec.Struct, frozen=True):
    """What the record of a token that is no patient's holds."""

    kind: str
    value: str


class _Held(NamedTuple):
    record: PatientRecord
    revision: bytes


class TokenVault:
    """See ``contract.Vault``. One object a process; ``clock`` only ages the cache, ``reload`` reads the keyring again."""

    def __init__(
        self,
        backend: Backend,
        ring: Keyring,
        *,
        tenant: str,
        randomness: Randomness,
        reload: Callable[[], Awaitable[Keyring]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._keys = Keys(ring, tenant)
        self._reload = reload
        self._prefix = f"v:{{{tenant}}}"
        self._tenant = tenant
        self._random = randomness
        self._clock = clock
        self._forget()

    async def resolve(self, requests: Sequence[VaultRequest]) -> list[Pseudonyms]:
        """A message that merges two patients is the last of its turn: those after it know the outcome."""
        self._age_cache()
        answers: list[Pseudonyms] = []
        begin = 0
        for end in [n + 1 for n, request in enumerate(requests) if request.retires is not None] + [len(requests)]:
            turn = requests[begin:end]
            if turn:
                answers += await self._with_current_keys(partial(self._resolve, turn))
            begin = end
        return answers

    async def reidentify(self, token: str) -> PatientRecord:
        return (await self._with_current_keys(partial(self._read, token))).record

    async def token_of(self, system: str, value: str) -> str | None:
        """The token of the patient who has this number under an authority (``contract.authority``'s form); none is made.

        Raises StoreUnavailable."""
        return (await self._look_up([link(system, value)])).get(link(system, value))

    async def originals(self, tokens: Sequence[str]) -> dict[str, Identifier]:
        names = [token for token in dict.fromkeys(tokens) if is_token(token)]
        rows = await self._backend.get([self._record_key(token) for token in names])

        async def read() -> dict[str, Identifier]:
            found: dict[str, Identifier] = {}
            for token, raw in zip(names, rows, strict=True):
                if raw is not None:
                    try:
                        number = self._open(raw, token, Number)
                    except UnsupportedContent:
                        continue  # a patient's record
                    found[token] = Identifier(value=number.value, type=number.kind)
            return found

        return await self._with_current_keys(read)

    async def tokens(self, token: str) -> tuple[str, ...]:
        try:
            record = await self.reidentify(token)
            if record.into:
                token, record = record.into, await self.reidentify(record.into)
        except UnsupportedContent:
            return ()
        return (token, *(each.token for each in record.merged))

    async def erase(self, token: str) -> bool:
        """See ``contract.Vault``. The surviving record goes last: an erasure that was interrupted finds everything again when it is repeated."""
        tokens = await self.tokens(token)
        if not tokens:
            return False
        record = await self.reidentify(tokens[0])
        for each in tokens:
            payload_keys = [row_of(self._tenant, key.encode()) for key in await self._backend.members(self._payloads_key(each))]
            gone = [row for row in await self._backend.get(payload_keys) if row is not None]
            await self._backend.put({tombstone_of(self._tenant, row): b"1" for row in gone})
            await self._backend.delete(payload_keys)
        links = (*record.links, *(key for each in record.merged for key in each.links))
        await self._backend.unlink([row for key in links for row in self._index_rows(key)], tokens)
        for each in reversed(tokens):
            await self._backend.delete([self._payloads_key(each), self._record_key(each)])
        self._forget()
        return True

    async def remember_payload_keys(self, pairs: Iterable[tuple[str, bytes]]) -> None:
        """(token, record key) of sealed messages, so that ``erase`` finds the keys that their payloads were sealed with."""
        fresh: dict[str, set[str]] = {}
        for token, key in pairs:
            if (token, key) not in self._sealed:
                fresh.setdefault(self._payloads_key(token), set()).add(key.decode("ascii", "replace"))
                self._sealed.add((token, key))
        await self._backend.add(fresh)

    async def close(self) -> None:
        await self._backend.close()

    async def _with_current_keys(self, work: Callable[[], Awaitable[A]]) -> A:
        """``work``, again with the keyring and the rows read anew when somebody changed them meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                return await work()
            except StaleKeyring:
                if self._reload is not None:
                    self._keys = Keys(await self._reload(), self._tenant)
                self._forget()
        raise StoreUnavailable(path="vault", detail="a record or its key is lost: restore the store from its backup")

    async def _resolve(self, requests: Sequence[VaultRequest]) -> list[Pseudonyms]:
        tokens = await self._numbers({key for request in requests for key in (*request.wanted, request.fallback) if key})
        found = iter(await self._patients([patient for request in requests for patient in request.patients]))
        answers: list[Pseudonyms] = []
        for request in requests:
            mine = [next(found) for _ in request.patients]
            merged = None
            if request.retires is not None and mine[0] and mine[request.retires]:
                merged = await self._merge(mine[0], mine[request.retires], request.patients[request.retires])
                mine[request.retires] = merged.token if merged else mine[0]
            fallback = tokens[request.fallback] if request.fallback else ""
            held = self._records[mine[0]].record if mine and mine[0] else None
            answers.append(
                Pseudonyms(
                    subject=(mine[0] if mine else "") or fallback,
                    without_patient=held is None,
                    epoch=held.epoch if held else self._epoch_of(request.fallback),
                    secret=held.secret if held else self._keys.message_bits(f"secret{SEPARATOR}{request.fallback}") % 2**64,
                    patients=tuple(token or fallback for token in mine),
                    tokens={key: tokens[key] for key in request.wanted},
                    merged=merged,
                )
            )
        return answers

    async def _numbers(self, wanted: set[str]) -> dict[str, str]:
        """Tokens of numbers; message numbers are computed, the rest found or claimed."""
        tokens = {key: from_bits(self._keys.message_bits(key)) for key in wanted if key.startswith(_MESSAGE)}
        missing = sorted(wanted - tokens.keys())
        tokens |= await self._look_up(missing)
        missing = [key for key in missing if key not in tokens]
        for _ in range(_ATTEMPTS):
            if not missing:
                return tokens
            claims = [self._number_claim(key) for key in missing]
            for key, token in zip(missing, await self._backend.claim(claims, self._keys.version), strict=True):
                if token:
                    tokens[key] = self._tokens[key] = token
            missing = [key for key in missing if key not in tokens]
        raise StoreUnavailable(path="vault", detail="no free token")

    def _number_claim(self, key: str) -> Claim:
        token = new_token(self._random)
        kind, _, value = key.partition(SEPARATOR)
        return self._claim([key], token, Number(kind, value))

    def _claim(self, links: Sequence[str], token: str, record: msgspec.Struct) -> Claim:
        rows = [self._index_rows(key) for key in links]
        keys, older = tuple(row[0] for row in rows), tuple(old for row in rows for old in row[1:])
        return Claim(keys, token, self._record_key(token), seal(record, self._keys, token), older)

    async def _look_up(self, links: Iterable[str]) -> dict[str, str]:
        """Tokens that links lead to, where they lead to one; remembered."""
        unknown = [key for key in links if key not in self._tokens]
        rows = [self._index_rows(key) for key in unknown]
        answers = iter(await self._backend.get([row for each in rows for row in each]))
        for key, each in zip(unknown, rows, strict=True):
            found = [raw for _ in each if (raw := next(answers)) is not None]
            if found:
                self._tokens[key] = found[0].decode()
        return {key: self._tokens[key] for key in links if key in self._tokens}

    async def _patients(self, patients: Sequence[PatientRequest]) -> list[str]:
        """Token of each patient, whose record is then held; empty for one that nothing links. Patients that share a link take turns."""
        found = [""] * len(patients)
        waiting = [n for n, patient in enumerate(patients) if patient.links or patient.weak]
        while waiting:
            turn: list[int] = []
            later: list[int] = []
            touched: set[str] = set()
            for n in waiting:
                own = {*patients[n].links, *patients[n].weak}
                (later if own & touched else turn).append(n)
                touched |= own
            for n, token in zip(turn, await self._turn([patients[n] for n in turn]), strict=True):
                found[n] = token
            waiting = later
        return found

    async def _turn(self, patients: Sequence[PatientRequest]) -> list[str]:
        await self._look_up(dict.fromkeys(key for patient in patients for key in (*patient.links, *patient.weak)))
        known = [self._known(patient) for patient in patients]
        await self._hold([token for token, _ in known])
        tokens = [
            self._surviving(token) if token and not (weak and self._contradicts(token, patient)) else ""
            for patient, (token, weak) in zip(patients, known, strict=True)
        ]
        await self._claim_new(patients, tokens)
        await self._hold(tokens)
        for patient, token in zip(patients, tokens, strict=True):
            await self._learn(patient, token)
        return tokens

    def _known(self, patient: PatientRequest) -> tuple[str, bool]:
        """Token by the first known link; whether only a weak one knew it."""
        for key in patient.links:
            if key in self._tokens:
                return self._tokens[key], False
        return next((self._tokens[key] for key in patient.weak if key in self._tokens), ""), True

    def _surviving(self, token: str) -> str:
        return self._records[token].record.into or token

    def _contradicts(self, token: str, patient: PatientRequest) -> bool:
        """Whether the record has another number than this patient under one of the patient's own authorities."""
        said: dict[str, set[str]] = {}
        for identifier in patient.person.identifiers:
            said.setdefault(authority(identifier.system), set()).add(identifier.value.strip().upper())
        for identifier in self._records[token].record.person.identifiers:
            system = authority(identifier.system)
            if system in said and not system.startswith("fhir:") and identifier.value.strip().upper() not in said[system]:
                return True
        return False

    async def _claim_new(self, patients: Sequence[PatientRequest], tokens: list[str]) -> None:
        """Fill in ``tokens`` where empty."""
        open_ = [n for n, token in enumerate(tokens) if not token]
        for _ in range(_ATTEMPTS):
            if not open_:
                return
            claims: list[Claim] = []
            for n in open_:
                token = new_token(self._random)
                links = (patients[n].links or patients[n].weak)[:_MOST_LINKS]
                claims.append(self._claim(links, token, self._new_record(patients[n].person, links)))
            for n, token in zip(list(open_), await self._backend.claim(claims, self._keys.version), strict=True):
                tokens[n] = token
            open_ = [n for n in open_ if not tokens[n]]
        if open_:
            raise StoreUnavailable(path="vault", detail="no free token")

    def _new_record(self, person: Person, links: tuple[str, ...]) -> PatientRecord:
        epoch, secret = self._random.randrange(EPOCH_FROM, EPOCH_UNTIL), self._random.randrange(0, 2**64)
        return PatientRecord(person=person, epoch=epoch, secret=secret, links=links)

    async def _hold(self, tokens: Sequence[str]) -> None:
        """Records of these tokens into the cache, and of those that they were merged into.

        Raises StaleKeyring: a link led to a record that is gone by now (erased, or lost by the store)."""
        missing = [token for token in dict.fromkeys(tokens) if token and token not in self._records]
        rows = [self._record_key(token) for token in missing]
        for token, raw in zip(missing, await self._backend.get(rows), strict=True):
            if raw is None:
                raise StaleKeyring(path="vault")
            self._records[token] = _Held(self._open(raw, token, PatientRecord), revision(raw))
        survivors = [into for token in missing if (into := self._records[token].record.into)]
        if survivors:
            await self._hold(survivors)

    async def _learn(self, patient: PatientRequest, token: str) -> None:
        """Every link of a patient leads to the token (unless it leads elsewhere already), and the record learns what is new."""
        for _ in range(_ATTEMPTS):
            held = self._records[token]
            old = held.record
            mine = [
                key for key in (*patient.links, *patient.weak) if self._tokens.get(key, token) == token and key not in old.links
            ]
            fresh = mine[: max(0, _MOST_LINKS - len(old.links))]
            new = msgspec.structs.replace(old, person=_learned(old.person, patient.person), links=(*old.links, *fresh))
            if new == old:
                return
            links = {self._index_rows(key)[0]: token.encode() for key in fresh}
            if await self._replace({token: new}, Commit(expected={self._record_key(token): held.revision}, links=links)):
                return
            del self._records[token]
            await self._hold([token])
        raise StoreUnavailable(path="vault", detail="a record keeps changing")

    async def _merge(self, survivor: str, retired: str, patient: PatientRequest) -> Merged | None:
        """The retired number's patient becomes the survivor's; a merge that was made before is found again. ``None``: there was one patient only."""
        into, gone = self._records[survivor], self._records[retired]
        if survivor == retired:
            return next((each for each in into.record.merged if {*each.links} & {*patient.links, *patient.weak}), None)
        merged = Merged(token=retired, links=gone.record.links, delta=gone.record.epoch - into.record.epoch)
        kept = msgspec.structs.replace(
            into.record,
            person=_learned(gone.record.person, into.record.person),
            links=tuple(dict.fromkeys((*into.record.links, *gone.record.links))),
            merged=(*into.record.merged, *gone.record.merged, merged),
        )
        change = Commit(
            expected={self._record_key(survivor): into.revision, self._record_key(retired): gone.revision},
            relinked=[row for key in gone.record.links for row in self._index_rows(key)],
            tokens=(retired, survivor),
        )
        renamed = {each.token: (await self._read(each.token)).record for each in gone.record.merged}
        moved = {
            name: msgspec.structs.replace(record, into=survivor) for name, record in {**renamed, retired: gone.record}.items()
        }
        if not await self._replace({survivor: kept, **moved}, change):
            raise StaleKeyring(path="vault")  # somebody else wrote one of the two: read both again
        self._tokens.update(dict.fromkeys(gone.record.links, survivor))
        return merged

    async def _replace(self, records: dict[str, PatientRecord], change: Commit) -> bool:
        """``change`` with these records; they are held anew if it was made."""
        rows = {token: seal(record, self._keys, token) for token, record in records.items()}
        put = {self._record_key(token): raw for token, raw in rows.items()}
        change = Commit(change.expected, put, change.links, change.relinked, change.tokens)
        made = await self._backend.commit(change, self._keys.version)
        if made:
            self._records.update({token: _Held(record, revision(rows[token])) for token, record in records.items()})
        return made

    async def _read(self, token: str) -> _Held:
        """Raises UnsupportedContent for what is no patient's token, StoreUnavailable when the store was emptied."""
        (raw,) = await self._backend.get([self._record_key(token)]) if is_token(token) else [None]
        if raw is None:
            if not await self._backend.has_keyring():
                raise keyring_lost()
            raise UnsupportedContent(Reason.UNKNOWN_TOKEN, path="subject")
        return _Held(self._open(raw, token, PatientRecord), revision(raw))

    def _open(self, raw: bytes, token: str, type_: type[T]) -> T:
        try:
            return msgspec.msgpack.decode(unseal(raw, self._keys, token), type=type_)
        except msgspec.MsgspecError:
            raise UnsupportedContent(Reason.UNKNOWN_TOKEN, path="subject") from None

    def _epoch_of(self, fallback: str) -> int:
        return EPOCH_FROM + self._keys.message_bits(f"epoch{SEPARATOR}{fallback}") % (EPOCH_UNTIL - EPOCH_FROM)

    def _index_rows(self, key: str) -> list[str]:
        """The row that is written first, then those of older generations."""
        return [f"{self._prefix}:i:{name}" for name in self._keys.index(key)]

    def _record_key(self, token: str) -> str:
        return f"{self._prefix}:r:{token}"

    def _payloads_key(self, token: str) -> str:
        return f"{self._prefix}:k:{token}"

    def _age_cache(self) -> None:
        if self._clock() - self._cached_since > CACHE_S or len(self._tokens) > _CACHE_ROWS or len(self._records) > _CACHE_ROWS:
            self._forget()

    def _forget(self) -> None:
        self._tokens: dict[str, str] = {}
        self._records: dict[str, _Held] = {}
        self._sealed: set[tuple[str, bytes]] = set()
        self._cached_since = self._clock()


def _learned(old: Person, new: Person) -> Person:
    """What the newest message says, else what was known; identifiers of both."""
    identifiers = tuple(dict.fromkeys((*new.identifiers, *old.identifiers)))[:_MOST_IDENTIFIERS]
    return Person(
        role=Role.PATIENT,
        names=new.names or old.names,
        identifiers=identifiers,
        phones=new.phones or old.phones,
        emails=new.emails or old.emails,
        addresses=new.addresses or old.addresses,
        birth_date=new.birth_date or old.birth_date,
        sex=new.sex or old.sex,
    )


async def open_vault(settings: Settings) -> TokenVault:
    """The vault in the Redis of the settings.

    Raises:
        ConfigurationError: the key-encryption key cannot be used, or the store holds no keyring.
        StoreUnavailable: the store does not answer.
    """
    store, ring, reload = await open_keyring(settings)
    tenant = settings.deid.tenant
    return TokenVault(RedisBackend(store, tenant), ring, tenant=tenant, randomness=secrets.SystemRandom(), reload=reload)


def memory_vault(seed: int | None = None) -> TokenVault:
    """A vault that lives in this process. ``seed`` makes tokens and clocks repeatable: for tests, never for data that leaves."""
    randomness: Randomness = secrets.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - only when seeded
    secret = secrets.token_bytes(32) if seed is None else seed.to_bytes(32, signed=True)
    return TokenVault(MemoryBackend(), Keyring.of(secret), tenant="memory", randomness=randomness)
