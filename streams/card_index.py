"""Where a patient's cards lie in the store: a keyed hash of the patient's number, which the writer has from the vault and the answering door from the EHR."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import msgspec
from redis.exceptions import WatchError

from schemas.cards import KeptCard
from schemas.errors import StoreUnavailable
from streams.keyring import Keyring
from streams.settings import Deid
from streams.store import Store

_DIGITS = 40
#: How often a move is tried again because the cards of one of the two patients changed meanwhile.
_ATTEMPTS = 5
_KEPT = msgspec.json.Decoder(KeptCard)


class CardIndex:
    """From one derived secret that a rotation of keys leaves alone: both sides must find the same place."""

    __slots__ = ("_deid", "_key")

    def __init__(self, ring: Keyring, deid: Deid) -> None:
        self._key, self._deid = ring.derive("cds/cards", ring.names), deid

    def row(self, authority: str, number: str) -> str:
        """Key of the patient's hash. An authority's other names (``deid.authorities``) mean the same, as they do for the vault."""
        named = self._deid.authorities.get(authority.strip(), authority.strip()) or self._deid.default_authority
        return f"h:{self._deid.tenant}:c:{self._digest(named.casefold(), number.strip().upper())}"

    def ordering(self, issuer: str, user: str, patient: str, encounter: str) -> str:
        """Key of what a user of an EHR was shown while ordering for a patient, by that EHR's own ids."""
        return f"h:{self._deid.tenant}:o:{self._digest(issuer, user, patient, encounter)}"

    def _digest(self, *parts: str) -> str:
        text = "\x1f".join((self._deid.tenant, *parts))
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def rows_of(tenant: str, token: str) -> str:
    """Key of the set that names a token's hashes, for an erasure."""
    return f"h:{tenant}:t:{token}"


async def forget_cards(store: Store, tenant: str, tokens: Sequence[str]) -> None:
    """Delete every card of these patients. Raises StoreUnavailable."""
    for token in tokens:
        name = rows_of(tenant, token)
        await store.delete(*await store.smembers(name), name)


async def move_cards(store: Store, tenant: str, retired: str, survivor: str, rows: Sequence[str], life_s: int) -> None:
    """After a merge: every card of either token lies in each of ``rows``, the hashes of the survivor's numbers (empty: nobody's, all go).

    Of two cards of one field the newer one stays. All in one step; the same again changes nothing.
    Raises StoreUnavailable, also when the cards keep changing under us.
    """
    names = rows_of(tenant, retired), rows_of(tenant, survivor)
    for _ in range(_ATTEMPTS):
        async with store.pipeline() as pipe:
            try:
                await pipe.watch(*names)
                held: set[Any] = {row for name in names for row in await pipe.smembers(name)}
                if not held:
                    return
                kept: set[Any] = {row.encode() for row in rows}
                await pipe.watch(*held, *kept)
                newest: dict[Any, Any] = {}
                for row in held | kept:
                    for field, card in (await pipe.hgetall(row)).items():
                        if field not in newest or _KEPT.decode(card).time > _KEPT.decode(newest[field]).time:
                            newest[field] = card
                pipe.multi()  # type: ignore[no-untyped-call]
                pipe.delete(names[0], *(held - kept), *(() if rows else names[1:]))
                for row in rows if newest else ():
                    pipe.hset(row, mapping=newest)
                    pipe.expire(row, life_s)
                if rows:
                    pipe.sadd(names[1], *rows)
                    pipe.expire(names[1], life_s)
                await pipe.execute()
                return
            except WatchError:
                continue
    raise StoreUnavailable(path="cards")
