"""Who calls the CDS Hooks door: the JWT rules of CDS Hooks 2.0 (trust, "CDS clients"), as written.

Every call carries a token, discovery too. Issuers and their keys are named by the site; a ``jku`` that is not named is never fetched, and neither is a named one: keys come
from files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import jwt

from schemas.errors import ConfigurationError
from streams.settings import CdsIssuer

#: The specification recommends ES384 and RS384; symmetric algorithms and ``none`` must not be accepted.
ALGORITHMS = ("ES384", "RS384")
#: Tokens live for minutes; one that claims more is cut to this from its ``iat``.
LONGEST_S = 300
LEEWAY_S = 30

#: Remembers a token's id; False when it was seen before. Raises StoreUnavailable.
Seen = Callable[[str, int], Awaitable[bool]]


class Refusal(Exception):
    """401; ``why`` is a word of ours."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Client:
    issuer: str


class Tokens:
    """``issuers``: ``iss`` -> its settings. Raises ConfigurationError when a key file cannot be read or holds no key of an accepted algorithm."""

    def __init__(self, issuers: dict[str, CdsIssuer], seen: Seen) -> None:
        self._keys = {name: _keys(issuer.jwks_file) for name, issuer in issuers.items()}
        self._jkus = {name: issuer.jku for name, issuer in issuers.items()}
        self._seen = seen

    async def check(self, authorization: list[bytes], audience: str, now: float) -> Client:
        """Raises Refusal, or StoreUnavailable: whether the token was used before cannot be told."""
        scheme, _, token = authorization[0].partition(b" ") if len(authorization) == 1 else (b"", b"", b"")
        if scheme.lower() != b"bearer" or not token:
            raise Refusal("no bearer token")
        text = token.strip().decode("ascii", "replace")
        try:
            header = jwt.get_unverified_header(text)
            issuer = str(jwt.decode(text, options={"verify_signature": False}).get("iss", ""))
        except (jwt.PyJWTError, ValueError):
            raise Refusal("not a token") from None
        if header.get("alg") not in ALGORITHMS:
            raise Refusal("algorithm")
        keys = self._keys.get(issuer)
        if keys is None:
            raise Refusal("issuer")
        if "jku" in header and header["jku"] != self._jkus[issuer]:
            raise Refusal("jku")
        key = keys.get(str(header.get("kid", "")))
        if key is None:
            raise Refusal("kid")
        try:
            claims = jwt.decode(
                text, key, algorithms=[str(header["alg"])], audience=audience, issuer=issuer, leeway=LEEWAY_S,
                options={"require": ["iss", "aud", "exp", "iat", "jti"]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise Refusal(type(error).__name__) from None
        if now > float(claims["iat"]) + LONGEST_S + LEEWAY_S:
            raise Refusal("too old")
        if not isinstance(claims["jti"], str) or not claims["jti"]:
            raise Refusal("jti")
        name = hashlib.sha256(f"{issuer}\x1f{claims['jti']}".encode()).hexdigest()
        if not await self._seen(name, LONGEST_S + 2 * LEEWAY_S):
            raise Refusal("used before")
        return Client(issuer)


def _keys(path: Path) -> dict[str, jwt.PyJWK]:
    try:
        rows = json.loads(path.read_bytes())["keys"]
        keys = {str(row["kid"]): jwt.PyJWK(row) for row in rows if row.get("alg", row.get("kty")) in (*ALGORITHMS, "EC", "RSA")}
    except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError):
        raise ConfigurationError(path="cds.issuers", detail="a JWKS file with public keys and their kid is needed") from None
    if not keys:
        raise ConfigurationError(path="cds.issuers", detail="a JWKS file without a usable key")
    return keys
