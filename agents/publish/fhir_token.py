"""SMART Backend Services: an access token for a client that signs with its own private key (client_credentials, private_key_jwt).

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html
"""

from __future__ import annotations

from collections.abc import Callable

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from schemas.errors import ConfigurationError, ReceiverUnavailable
from streams.settings import FhirServer

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: The standard allows five minutes.
_ASSERTION_S = 240
#: A token is not used in its last seconds: it would end on the way. Without ``expires_in`` it is taken to last a minute.
_MARGIN_S = 15.0
_DEFAULT_S = 60.0

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def read_key(settings: FhirServer) -> tuple[PrivateKey, str]:
    """The client's key and its algorithm: RS384 for RSA of at least 2048 bits, ES384 for P-384. Raises ConfigurationError."""
    where = "fhir_server.client_key_file"
    if settings.client_key_file is None or settings.client_id is None:
        raise ConfigurationError(path=where, detail="client_id and client_key_file are needed with token_url")
    try:
        key = load_pem_private_key(settings.client_key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise ConfigurationError(path=where, detail="a PEM file with an unencrypted private key is needed") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return key, "RS384"
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return key, "ES384"
    raise ConfigurationError(path=where, detail="RSA of 2048 bits or more, or P-384, is needed")


class TokenSource:
    """Keeps one token until shortly before it ends.

    Args:
        clock: seconds since 1970; ``unique`` makes the ``jti`` of an assertion.
    """

    def __init__(
        self, settings: FhirServer, client: httpx.AsyncClient, *, clock: Callable[[], float], unique: Callable[[], str]
    ) -> None:
        self._key, self._algorithm = read_key(settings)
        self._settings, self._client, self._clock, self._unique = settings, client, clock, unique
        self._token, self._ends = "", 0.0

    async def get(self) -> str:
        """Raises ReceiverUnavailable: no token was given; the record is not at fault."""
        if self._clock() >= self._ends - _MARGIN_S:
            self._token, self._ends = await self._fetch()
        return self._token

    def forget(self) -> None:
        """The server refused the token."""
        self._ends = 0.0

    async def _fetch(self) -> tuple[str, float]:
        url, now = str(self._settings.token_url), self._clock()
        client_id = str(self._settings.client_id)
        claims = {"iss": client_id, "sub": client_id, "aud": url, "exp": int(now) + _ASSERTION_S, "jti": self._unique()}
        headers = {"kid": self._settings.client_key_id} if self._settings.client_key_id else None
        form = {
            "grant_type": "client_credentials",
            "scope": self._settings.scope,
            "client_assertion_type": _ASSERTION,
            "client_assertion": jwt.encode(claims, self._key, algorithm=self._algorithm, headers=headers),
        }
        try:
            answer = await self._client.post(url, data=form, headers={"accept": "application/json"})
            answer.raise_for_status()
            body = answer.json()
            token, lasts = body["access_token"], float(body.get("expires_in", _DEFAULT_S))
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
            raise ReceiverUnavailable(path="fhir_server.token_url") from None
        if not isinstance(token, str) or not token:
            raise ReceiverUnavailable(path="fhir_server.token_url")
        return token, now + lasts
