"""Who may use the HTTP door: a bearer token from a file, or a client certificate that TLS has checked. Default is no.

Every path that is not listed as public needs it, also one that does not exist, so that a new route fails closed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Set
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.answers import FhirResponse
from gateway.outcomes import issue, outcome
from schemas.errors import ConfigurationError
from streams.clients import read_secret

#: Probes, metrics and the CapabilityStatement, which FHIR wants readable before authorization. None of them tells of a patient.
PUBLIC = frozenset({"/livez", "/readyz", "/metrics", "/fhir/metadata"})


class Tokens:
    """Accepted bearer tokens, one per line of the file, so that one can be rotated in before the old one goes."""

    def __init__(self, tokens: list[str]) -> None:
        self._digests = [hashlib.sha256(token.encode()).digest() for token in tokens]

    @classmethod
    def load(cls, path: Path, setting: str = "gateway.http_token_file") -> Tokens:
        """Raises ConfigurationError naming ``setting``: the file cannot be read, is empty, or holds a token under 16 characters."""
        tokens = [line.strip() for line in read_secret(path, setting).splitlines() if line.strip()]
        if not tokens or any(len(token) < 16 for token in tokens):
            raise ConfigurationError(path=setting, detail="needs tokens of at least 16 characters, one a line")
        return cls(tokens)

    def accept(self, token: bytes) -> bool:
        """In a time that depends neither on the token nor on which one matches."""
        given = hashlib.sha256(token).digest()
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(matches)


def _fhir_refusal(headers: Mapping[str, str]) -> Response:
    return FhirResponse(outcome(issue("login", "a valid bearer token is needed")), 401, headers)


class AccessControl:
    """ASGI middleware.

    Args:
        tokens: ``None`` where nobody is asked for one: the listener demands client certificates instead, or is on loopback.
        public: paths that need none.
        refusal: the answer 401, in the form of the door, with these headers.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens | None,
        *,
        public: Set[str] = PUBLIC,
        refusal: Callable[[Mapping[str, str]], Response] = _fhir_refusal,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._public, self._refusal = public, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._public or self._tokens is None or self._allowed(scope):
            await self._app(scope, receive, send)
            return
        response = self._refusal({"www-authenticate": 'Bearer realm="wardstream"'})
        await response(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        assert self._tokens is not None
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        return bool(scheme.lower() == b"bearer" and self._tokens.accept(token.strip()))
