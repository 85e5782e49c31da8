"""The vault in Redis: index entries (keyed hash -> token) and sealed records (token -> identity).

    v:{tenant}:i:{kid}:{digest}   token, written with NX: the first writer wins, every other takes what is there
    v:{tenant}:r:{token}          sealed record

A token exists once its index entry does; the record is written first, so that no token is ever published whose identity is lost.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from agents.vault.keys import Keys
from agents.vault.records import (
    Name,
    NumberRecord,
    PatientRecord,
    Pseudonyms,
    Request,
    name_of,
    new_epoch,
    new_token,
)
from schemas.errors import PrivacyViolation, Reason
from schemas.identity import Identifier
from streams.store import Store

#: Names whose tokens a worker remembers; an entry costs about 200 bytes.
CACHE_SIZE = 50_000
_PATIENT, _NUMBER = "patient", "number"


class RedisVault:
    """One per process. ``random_bytes`` makes tokens and clocks."""

    def __init__(
        self, store: Store, keys: Keys, *, random_bytes: Callable[[int], bytes] = os.urandom, cache_size: int = CACHE_SIZE
    ) -> None:
        self._store, self._keys, self._random = store, keys, random_bytes
        self._known: OrderedDict[tuple[str, Name], str] = OrderedDict()
        self._epochs: OrderedDict[str, tuple[int, bool]] = OrderedDict()
        self._cache_size = cache_size

    async def resolve(self, requests: Sequence[Request]) -> list[Pseudonyms]:
        """See ``Vault.resolve``. Four round trips for a batch with new patients, none for one that is cached."""
        wanted: dict[tuple[str, Name], Identifier] = {}
        for request in requests:
            for identifier in (*request.patient, *request.prior):
                wanted.setdefault((_PATIENT, name_of(identifier)), identifier)
            for identifier in request.numbers:
                wanted.setdefault((_NUMBER, name_of(identifier)), identifier)
        await self._look_up([key for key in wanted if key not in self._known])
        await self._make_patients(requests)
        await self._make_numbers([key for key in wanted if key[0] == _NUMBER], wanted)
        await self._read_epochs({self._known[_PATIENT, name_of(r.patient[0])] for r in requests}, requests)
        answers = [self._answer(request) for request in requests]
        self._trim()
        return answers

    async def reidentify(self, token: str) -> PatientRecord | None:
        """See ``Vault.reidentify``; not cached, so that an erased patient is gone at once."""
        sealed = await self._store.get(self._record_key(token))
        return None if sealed is None else msgspec.json.decode(self._keys.open(token, _raw(sealed)), type=PatientRecord)

    def _answer(self, request: Request) -> Pseudonyms:
        token = self._known[_PATIENT, name_of(request.patient[0])]
        tokens = {name_of(i): self._known[_PATIENT, name_of(i)] for i in (*request.patient, *request.prior)}
        tokens |= {name_of(i): self._known[_NUMBER, name_of(i)] for i in request.numbers}
        return Pseudonyms(token, self._epochs[token][0], tokens)

    async def _look_up(self, keys: Sequence[tuple[str, Name]]) -> None:
        if not keys:
            return
        found = await self._store.mget([self._index_key(*key) for key in keys])
        for key, token in zip(keys, found, strict=True):
            if token is not None:
                self._known[key] = _raw(token).decode()

    async def _make_patients(self, requests: Sequence[Request]) -> None:
        """Identifiers of one patient share the token of the first that is known; otherwise the first one's new token."""
        records: dict[str, bytes] = {}
        claims: list[tuple[tuple[str, Name], str]] = []
        claimed: dict[tuple[str, Name], str] = {}

        def make(request: Request) -> str:
            token = new_token(self._random(14))
            record = PatientRecord(token=token, epoch=new_epoch(self._random(8)), person=request.person)
            records[token] = self._keys.seal(token, msgspec.json.encode(record))
            return token

        for request in requests:
            groups = [request.patient, *[(identifier,) for identifier in request.prior]]
            for group in groups:
                keys = [(_PATIENT, name_of(identifier)) for identifier in group]
                token = next((t for key in keys if (t := self._known.get(key) or claimed.get(key))), None) or make(request)
                for key in keys:
                    if key not in self._known and key not in claimed:
                        claimed[key] = token
                        claims.append((key, token))
        await self._claim(records, claims)
        # a race with another worker may have split one patient's new identifiers over two tokens: the first identifier decides
        for request in requests:
            first = self._known[_PATIENT, name_of(request.patient[0])]
            for identifier in request.patient[1:]:
                if self._known[_PATIENT, name_of(identifier)] in records:
                    self._known[_PATIENT, name_of(identifier)] = first

    async def _make_numbers(self, keys: Sequence[tuple[str, Name]], wanted: dict[tuple[str, Name], Identifier]) -> None:
        records: dict[str, bytes] = {}
        claims: list[tuple[tuple[str, Name], str]] = []
        for key in keys:
            if key in self._known:
                continue
            token = new_token(self._random(14))
            records[token] = self._keys.seal(token, msgspec.json.encode(NumberRecord(token=token, identifier=wanted[key])))
            claims.append((key, token))
        await self._claim(records, claims)

    async def _claim(self, records: dict[str, bytes], claims: Sequence[tuple[tuple[str, Name], str]]) -> None:
        """Write records, then index entries where there are none; take the token that stands there in the end."""
        if not claims:
            return
        await self._store.mset({self._record_key(token): sealed for token, sealed in records.items()})
        async with self._store.pipeline(transaction=False) as pipe:
            for key, token in claims:
                pipe.set(self._index_key(*key), token, nx=True)
                pipe.get(self._index_key(*key))
            answers = await pipe.execute()
        lost: set[str] = set(records)
        for (key, _), winner in zip(claims, answers[1::2], strict=True):
            self._known[key] = _raw(winner).decode()
            lost.discard(_raw(winner).decode())
        if lost:
            await self._store.delete(*[self._record_key(token) for token in lost])

    async def _read_epochs(self, tokens: set[str], requests: Sequence[Request]) -> None:
        missing = [token for token in sorted(tokens) if token not in self._epochs]
        named = {self._known[_PATIENT, name_of(r.patient[0])]: r.person for r in requests if r.person.names}
        nameless = [token for token in named if token in self._epochs and not self._epochs[token][1]]
        wanted = [*missing, *nameless]
        if not wanted:
            return
        for token, sealed in zip(wanted, await self._store.mget([self._record_key(t) for t in wanted]), strict=True):
            if sealed is None:  # erased between two look-ups: the index entry is stale and must not be used
                self._forget(token)
                raise PrivacyViolation(Reason.UNKNOWN_TOKEN, path="vault record", detail="index entry without a record")
            record = msgspec.json.decode(self._keys.open(token, _raw(sealed)), type=PatientRecord)
            if not record.person.names and token in named:
                record = PatientRecord(token=token, epoch=record.epoch, person=named[token])
                await self._store.set(self._record_key(token), self._keys.seal(token, msgspec.json.encode(record)), xx=True)
            self._epochs[token] = (record.epoch, bool(record.person.names))

    def _forget(self, token: str) -> None:
        for key in [key for key, known in self._known.items() if known == token]:
            del self._known[key]

    def _trim(self) -> None:
        for cache in (self._known, self._epochs):
            while len(cache) > self._cache_size:
                cache.popitem(last=False)

    def _index_key(self, kind: str, name: Name) -> str:
        return f"v:{self._keys.tenant}:i:{self._keys.kid}:{self._keys.digest(kind, *name)}"

    def _record_key(self, token: str) -> str:
        return f"v:{self._keys.tenant}:r:{token}"


def _raw(answer: bytes | str) -> bytes:
    return answer.encode() if isinstance(answer, str) else answer
