"""What the prefetch lacks, read from the EHR's own FHIR server with the token of the call; from servers that the site lists, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx

from gateway.cds.request import Bad
from gateway.cds.services import ORDER_PREFETCH
from schemas.errors import MalformedMessage
from schemas.fhir.json import decode

_MOST_BYTES = 4 * 1024 * 1024


class FhirReader:
    """``servers``: base addresses that may be read. ``timeout_s`` for all of a call's reads together."""

    def __init__(self, servers: Sequence[str], timeout_s: float, client: httpx.AsyncClient) -> None:
        self._servers = frozenset(server.rstrip("/") for server in servers)
        self._timeout_s, self._client = timeout_s, client

    def may_read(self, body: dict[str, Any]) -> bool:
        """The call brings a server of the list and a token for it."""
        server = body.get("fhirServer")
        return isinstance(server, str) and server.rstrip("/") in self._servers and bool(_token(body))

    async def missing(self, body: dict[str, Any], patient: str) -> dict[str, Any]:
        """The resources under those keys of the order services' prefetch that the call leaves out.

        Raises Bad (412): the server does not answer in time, refuses, or answers something else than FHIR JSON.
        """
        given = body.get("prefetch")
        lacking = {key: query for key, query in ORDER_PREFETCH.items() if not isinstance(given, dict) or given.get(key) is None}
        base, token = str(body["fhirServer"]).rstrip("/"), _token(body)
        if not patient.isascii() or not all(
            c.isalnum() or c in "-." for c in patient
        ):  # FHIR id: nothing that could leave its place in the path
            raise Bad(400, "context.patientId is no id")
        try:
            async with asyncio.timeout(self._timeout_s):
                answers = await asyncio.gather(
                    *(self._one(f"{base}/{query.replace('{{context.patientId}}', patient)}", token) for query in lacking.values())
                )
        except (TimeoutError, httpx.HTTPError, MalformedMessage):
            raise Bad(412, "the FHIR server cannot be read") from None
        return dict(zip(lacking, answers, strict=True))

    async def _one(self, address: str, token: str) -> Any:
        headers = {"authorization": f"Bearer {token}", "accept": "application/fhir+json"}
        async with self._client.stream("GET", address, headers=headers, follow_redirects=False) as answer:
            if answer.status_code != 200:
                raise Bad(412, "the FHIR server cannot be read")
            data = bytearray()
            async for part in answer.aiter_bytes():
                data += part
                if len(data) > _MOST_BYTES:
                    raise Bad(412, "the FHIR server's answer is too large")
        return decode(bytes(data))


def _token(body: dict[str, Any]) -> str:
    given = body.get("fhirAuthorization")
    token = given.get("access_token") if isinstance(given, dict) else None
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""
