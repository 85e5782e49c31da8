"""The vault: identifiers in, tokens out, and for the audited release the way back.

Rows (``{tenant}`` with its braces, which keep one tenant on one Redis Cluster slot):
``v:{tenant}:i:<key id>:<hmac>`` -> token, ``v:{tenant}:r:<token>`` -> sealed record, ``v:{tenant}:l:<token>`` -> its index rows,
``v:{tenant}:k:<token>`` -> record keys of its sealed raw messages.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from agents.vault.backend import Backend, Claim, MemoryBackend, RedisBackend
from agents.vault.contract import SEPARATOR, Kind, PatientRecord, PatientRequest, Pseudonyms, VaultRequest, authority, link
from agents.vault.keys import KEY_ID, Keys
from agents.vault.records import seal, unseal
from agents.vault.tokens import Randomness, from_bits, is_token, new_token
from schemas.errors import Reason, StoreUnavailable, UnsupportedContent
from schemas.identity import Identifier, Person, Role
from streams.sealing import row_of, tombstone_of
from streams.settings import Settings
from streams.store import connect

T = TypeVar("T", bound=msgspec.Struct)

#: Patients' clocks begin at a minute of the years 1600 to 1899: so far back that every event comes after it, and so wide a range that
#: the year of an event, which Safe Harbor leaves, narrows the minute down in one case of three hundred at most, and then not far.
EPOCH_FROM, EPOCH_UNTIL = -194_596_560, -36_817_920

#: Erasure must reach every cache (standards: at most five minutes).
CACHE_S = 240.0
_CACHE_ROWS = 50_000
_MOST_IDENTIFIERS = 64
_MESSAGE = Kind.MESSAGE.value + SEPARATOR
_ATTEMPTS = 8


class _Number(msgspec.Struct, frozen=True):
    kind: str
    value: str


class TokenVault:
    """See ``contract.Vault``. One object a process; ``clock`` only ages the cache."""

    def __init__(
        self, backend: Backend, keys: Keys, *, tenant: str, randomness: Randomness, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._keys = keys
        self._prefix = f"v:{{{tenant}}}"
        self._tenant = tenant
        self._sealed: set[tuple[str, bytes]] = set()
        self._random = randomness
        self._clock = clock
        self._tokens: dict[str, str] = {}
        self._records: dict[str, PatientRecord] = {}
        self._cached_since = clock()

    async def resolve(self, requests: Sequence[VaultRequest]) -> list[Pseudonyms]:
        self._age_cache()
        tokens = await self._numbers({key for request in requests for key in (*request.wanted, request.fallback) if key})
        patients = [patient for request in requests for patient in request.patients]
        found = await self._patients(patients)
        answers: list[Pseudonyms] = []
        position = 0
        for request in requests:
            mine = found[position : position + len(request.patients)]
            position += len(request.patients)
            fallback = tokens[request.fallback] if request.fallback else ""
            names = tuple(row[0] if row else fallback for row in mine)
            first = mine[0] if mine else None
            answers.append(
                Pseudonyms(
                    subject=names[0] if names else fallback,
                    without_patient=first is None,
                    epoch=first[1] if first else self._epoch_of(request.fallback),
                    patients=names,
                    tokens={key: tokens[key] for key in request.wanted},
                )
            )
        return answers

    async def reidentify(self, token: str) -> PatientRecord:
        (raw,) = await self._backend.get([self._record_key(token)]) if is_token(token) else [None]
        if raw is None:
            raise UnsupportedContent(Reason.UNKNOWN_TOKEN, path="subject")
        return self._open(raw, token, PatientRecord)

    async def token_of(self, system: str, value: str) -> str | None:
        """The token of the patient who has this number under an authority (``contract.authority``'s form); none is made.

        Raises StoreUnavailable."""
        (raw,) = await self._backend.get([self._index_key(link(system, value))])
        return None if raw is None else raw.decode()

    async def originals(self, tokens: Sequence[str]) -> dict[str, Identifier]:
        names = [token for token in dict.fromkeys(tokens) if is_token(token)]
        rows = await self._backend.get([self._record_key(token) for token in names])
        found: dict[str, Identifier] = {}
        for token, raw in zip(names, rows, strict=True):
            if raw is not None:
                try:
                    number = self._open(raw, token, _Number)
                except UnsupportedContent:
                    continue  # a patient's record
                found[token] = Identifier(value=number.value, type=number.kind)
        return found

    async def erase(self, token: str) -> bool:
        """See ``contract.Vault``. The record goes last: an erasure that was interrupted finds everything again when it is repeated."""
        (raw,) = await self._backend.get([self._record_key(token)])
        if raw is None:
            return False
        (links,) = await self._backend.get([self._links_key(token)])
        payload_keys = [row_of(self._tenant, key.encode()) for key in await self._backend.members(self._payloads_key(token))]
        gone = [row for row in await self._backend.get(payload_keys) if row is not None]
        await self._backend.put({tombstone_of(self._tenant, row): b"1" for row in gone})
        await self._backend.delete([*payload_keys, *(links or b"").decode().split()])
        await self._backend.delete([self._links_key(token), self._payloads_key(token), self._record_key(token)])
        self._tokens.clear()
        self._records.pop(token, None)
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

    async def _numbers(self, wanted: set[str]) -> dict[str, str]:
        """Tokens of numbers; message numbers are computed, the rest found or claimed."""
        tokens: dict[str, str] = {}
        missing: list[str] = []
        for key in sorted(wanted):
            known = self._tokens.get(key)
            if known is not None:
                tokens[key] = known
            elif key.startswith(_MESSAGE):
                tokens[key] = from_bits(self._keys.message_bits(key))
            else:
                missing.append(key)
        rows = [self._index_key(key) for key in missing]
        for key, raw in zip(missing, await self._backend.get(rows), strict=True):
            if raw is not None:
                tokens[key] = self._tokens[key] = raw.decode()
        names = {key: row for key, row in zip(missing, rows, strict=True) if key not in tokens}
        for _ in range(_ATTEMPTS):
            if not names:
                return tokens
            claims = [self._number_claim(key, row) for key, row in names.items()]
            for key, token in zip(list(names), await self._backend.claim(claims), strict=True):
                if token:
                    tokens[key] = self._tokens[key] = token
                    del names[key]
        raise StoreUnavailable(path="vault", detail="no free token")

    def _number_claim(self, key: str, row: str) -> Claim:
        token = new_token(self._random)
        kind, _, value = key.partition(SEPARATOR)
        return Claim((row,), token, self._record_key(token), seal(_Number(kind, value), self._keys.kek, token))

    async def _patients(self, patients: Sequence[PatientRequest]) -> list[tuple[str, int] | None]:
        """(token, epoch) of each patient; ``None`` for one that nothing links. Patients that share a link take turns."""
        found: list[tuple[str, int] | None] = [None] * len(patients)
        waiting = [n for n, patient in enumerate(patients) if patient.links or patient.weak]
        while waiting:
            turn: list[int] = []
            later: list[int] = []
            touched: set[str] = set()
            for n in waiting:
                own = {*patients[n].links, *patients[n].weak}
                (later if own & touched else turn).append(n)
                touched |= own
            for n, row in zip(turn, await self._turn([patients[n] for n in turn]), strict=True):
                found[n] = row
            waiting = later
        return found

    async def _turn(self, patients: Sequence[PatientRequest]) -> list[tuple[str, int]]:
        keys = list({key for patient in patients for key in (*patient.links, *patient.weak) if key not in self._tokens})
        for key, raw in zip(keys, await self._backend.get([self._index_key(key) for key in keys]), strict=True):
            if raw is not None:
                self._tokens[key] = raw.decode()
        tokens = [self._known(patient) for patient in patients]
        await self._load([token for token, _ in tokens if token])
        accepted = [
            token if token and not (weak and self._contradicts(token, p)) else ""
            for p, (token, weak) in zip(patients, tokens, strict=True)
        ]
        await self._claim_new(patients, accepted)
        await self._load(accepted)
        await self._link_and_update(patients, accepted)
        return [(token, self._records[token].epoch) for token in accepted]

    def _known(self, patient: PatientRequest) -> tuple[str, bool]:
        """Token by the first known link; whether only a weak one knew it."""
        for key in patient.links:
            if key in self._tokens:
                return self._tokens[key], False
        return next((self._tokens[key] for key in patient.weak if key in self._tokens), ""), True

    def _contradicts(self, token: str, patient: PatientRequest) -> bool:
        """Whether the record has another number than this patient under one of the patient's own authorities."""
        record = self._records.get(token)
        if record is None:
            return False
        said: dict[str, set[str]] = {}
        for identifier in patient.person.identifiers:
            said.setdefault(authority(identifier.system), set()).add(identifier.value.strip().upper())
        for identifier in record.person.identifiers:
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
                record = PatientRecord(person=patients[n].person, epoch=self._random.randrange(EPOCH_FROM, EPOCH_UNTIL))
                keys = patients[n].links or patients[n].weak
                sealed = seal(record, self._keys.kek, token)
                claims.append(Claim(tuple(map(self._index_key, keys)), token, self._record_key(token), sealed))
            for n, token in zip(list(open_), await self._backend.claim(claims), strict=True):
                tokens[n] = token
            open_ = [n for n in open_ if not tokens[n]]
        if open_:
            raise StoreUnavailable(path="vault", detail="no free token")

    async def _load(self, tokens: Sequence[str]) -> None:
        """Records of these tokens into the cache; a record that is gone (erased, or lost by the store) is begun anew."""
        missing = [token for token in dict.fromkeys(tokens) if token and token not in self._records]
        rows = [self._record_key(token) for token in missing]
        for token, raw in zip(missing, await self._backend.get(rows), strict=True):
            if raw is None:
                record = PatientRecord(person=Person(role=Role.PATIENT), epoch=self._random.randrange(EPOCH_FROM, EPOCH_UNTIL))
                await self._backend.put({self._record_key(token): seal(record, self._keys.kek, token)}, only_new=True)
                (raw,) = await self._backend.get([self._record_key(token)])
                if raw is None:
                    raise StoreUnavailable(path="vault")
            self._records[token] = self._open(raw, token, PatientRecord)

    async def _link_and_update(self, patients: Sequence[PatientRequest], tokens: Sequence[str]) -> None:
        """Every link of a patient points to the token (unless it already points elsewhere); the record learns what is new."""
        links: dict[str, bytes] = {}
        rows: dict[str, bytes] = {}
        for patient, token in zip(patients, tokens, strict=True):
            fresh = [key for key in (*patient.links, *patient.weak) if key not in self._tokens]
            # not cached here: another process may have linked one of them elsewhere a moment ago, and the store decides
            links.update((self._index_key(key), token.encode()) for key in fresh)
            old = self._records[token]
            merged = PatientRecord(person=_merge(old.person, patient.person), epoch=old.epoch)
            if fresh:
                (known,) = await self._backend.get([self._links_key(token)])
                names = {*(known or b"").decode().split(), *map(self._index_key, fresh)}
                rows[self._links_key(token)] = " ".join(sorted(names)).encode()
            if merged != old:
                self._records[token] = merged
                rows[self._record_key(token)] = seal(merged, self._keys.kek, token)
        await self._backend.put(links, only_new=True)
        await self._backend.put(rows)

    def _open(self, raw: bytes, token: str, type_: type[T]) -> T:
        try:
            return msgspec.msgpack.decode(unseal(raw, self._keys.kek, token), type=type_)
        except msgspec.MsgspecError:
            raise UnsupportedContent(Reason.UNKNOWN_TOKEN, path="subject") from None

    def _epoch_of(self, fallback: str) -> int:
        return EPOCH_FROM + self._keys.message_bits(f"epoch{SEPARATOR}{fallback}") % (EPOCH_UNTIL - EPOCH_FROM)

    def _index_key(self, key: str) -> str:
        return f"{self._prefix}:i:{KEY_ID}:{self._keys.index(key)}"

    def _record_key(self, token: str) -> str:
        return f"{self._prefix}:r:{token}"

    def _links_key(self, token: str) -> str:
        return f"{self._prefix}:l:{token}"

    def _payloads_key(self, token: str) -> str:
        return f"{self._prefix}:k:{token}"

    def _age_cache(self) -> None:
        if self._clock() - self._cached_since > CACHE_S or len(self._tokens) > _CACHE_ROWS or len(self._records) > _CACHE_ROWS:
            self._tokens, self._records, self._sealed = {}, {}, set()
            self._cached_since = self._clock()


def _merge(old: Person, new: Person) -> Person:
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


def open_vault(settings: Settings) -> TokenVault:
    """The vault in the Redis of the settings; connects on first use.

    Raises:
        ConfigurationError: the master key is missing or unreadable.
    """
    keys = Keys.load(settings.secrets.master_key_file, settings.deid.tenant)
    backend = RedisBackend(connect(settings.redis))
    return TokenVault(backend, keys, tenant=settings.deid.tenant, randomness=secrets.SystemRandom())


def memory_vault(seed: int | None = None) -> TokenVault:
    """A vault that lives in this process. ``seed`` makes tokens and clocks repeatable: for tests, never for data that leaves."""
    randomness: Randomness = secrets.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - only when seeded
    keys = Keys.throwaway() if seed is None else Keys(seed.to_bytes(32, signed=True), "memory")
    return TokenVault(MemoryBackend(), keys, tenant="memory", randomness=randomness)
