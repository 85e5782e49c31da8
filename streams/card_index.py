"""Where a patient's cards lie in the store: a keyed hash of the patient's number, which the writer has from the vault and the answering door from the EHR."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from streams.keyring import Keyring
from streams.settings import Deid
from streams.store import Store

_DIGITS = 40


class CardIndex:
    """From one derived secret that a rotation of keys leaves alone: both sides must find the same place."""

    __slots__ = ("_deid", "_key")

    def __init__(self, ring: Keyring, deid: Deid) -> None:
        self._key, self._deid = ring.derive("cds/cards", ring.names), deid

    def row(self, authority: str, number: str) -> str:
        """Key of the patient's hash. An authority's other names (``deid.authorities``) mean the same, as they do for the vault."""
        named = self._deid.authorities.get(authority.strip(), authority.strip()) or self._deid.default_authority
        text = "\x1f".join((self._deid.tenant, named.casefold(), number.strip().upper()))
        return f"h:{self._deid.tenant}:c:{hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:_DIGITS]}"


def rows_of(tenant: str, token: str) -> str:
    """Key of the set that names a token's hashes, for an erasure."""
    return f"h:{tenant}:t:{token}"


async def forget_cards(store: Store, tenant: str, tokens: Sequence[str]) -> None:
    """Delete every card of these patients. Raises StoreUnavailable."""
    for token in tokens:
        name = rows_of(tenant, token)
        await store.delete(*await store.smembers(name), name)
