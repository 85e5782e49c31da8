"""Transactions to one FHIR server over HTTP, and searches in it: what its answers mean, and how often it is asked again."""

from __future__ import annotations

import random
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from urllib.parse import urlencode

import httpx
import msgspec

from agents.publish.fhir_token import TokenSource
from agents.publish.names import Object
from schemas.errors import ConfigurationError, Poison, Reason, ReceiverUnavailable
from schemas.fhir.json import decode
from streams.settings import FhirServer

#: How often one request is sent before the whole batch is given back; the wait before the second (doubling, the last half at random).
ATTEMPTS = 4
FIRST_DELAY_S = 0.5
#: A server may ask for a longer wait than ours, up to this.
LONGEST_DELAY_S = 30.0
#: Asked again: too early, too busy, a conflict of two writers, and every fault of the server (501 says that it never can).
_AGAIN = frozenset({401, 408, 409, 425, 429})
#: http://hl7.org/fhir/R4/valueset-issue-type.html; anything else that a server writes there is not repeated.
ISSUE_CODES = frozenset(
    [
        "invalid",
        "structure",
        "required",
        "value",
        "invariant",
        "security",
        "login",
        "unknown",
        "expired",
        "forbidden",
        "suppressed",
        "processing",
        "not-supported",
        "duplicate",
        "multiple-matches",
        "not-found",
        "deleted",
        "too-long",
        "code-invalid",
        "extension",
        "too-costly",
        "business-rule",
        "conflict",
        "transient",
        "lock-error",
        "no-store",
        "exception",
        "timeout",
        "incomplete",
        "throttled",
        "informational",
    ]
)
#: Somebody else wrote what a transaction with ``ifMatch`` is about (RFC 9110 412; servers answer 409 too).
_OVERTAKEN = frozenset({409, 412})
#: Identifiers that one search asks for.
_ASKED_AT_ONCE = 50
_FHIR_JSON = "application/fhir+json"
_FORM = "application/x-www-form-urlencoded"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_address(url: str, setting: str) -> str:
    """``url`` without its last slash. Raises ConfigurationError: results are about people and go over TLS, but for this machine itself."""
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL:
        raise ConfigurationError(path=setting, detail="a URL is needed") from None
    if not found.host or found.userinfo or found.query or found.fragment:
        raise ConfigurationError(path=setting, detail="https://host/path is needed, without user, query and fragment")
    if found.scheme != "https" and not (found.scheme == "http" and found.host in _LOOPBACK):
        raise ConfigurationError(path=setting, detail="https is needed")
    return url.rstrip("/")


def open_client(settings: FhirServer) -> httpx.AsyncClient:
    """Raises ConfigurationError when a certificate cannot be read. Redirects are not followed: they would carry results elsewhere."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file is not None:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except OSError:
        raise ConfigurationError(path="fhir_server.ca_file", detail="certificates cannot be read") from None
    return httpx.AsyncClient(verify=context, timeout=settings.timeout_s, trust_env=False)


class ServerFault(ReceiverUnavailable):
    """500 to the very end: the server, or something in what was sent that it stumbles over."""


class Overtaken(ReceiverUnavailable):
    """What was read at the server is not there any more: read again."""


class FhirSender:
    """May be used concurrently. ``sleep``, ``clock`` and ``chance`` (0 to 1) come from outside so that tests need not wait."""

    def __init__(
        self,
        settings: FhirServer,
        *,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.base = check_address(settings.base_url or "", "fhir_server.base_url")
        self._sleep, self._chance = sleep, chance
        self._client = open_client(settings)
        self._tokens: TokenSource | None = None
        if settings.token_url is not None:
            check_address(settings.token_url, "fhir_server.token_url")
            self._tokens = TokenSource(settings, self._client, clock=clock, unique=lambda: str(uuid.uuid4()))

    async def send(self, request: bytes, *, guarded: bool = False) -> None:
        """POST one transaction Bundle. ``guarded``: it says which versions it writes over, and may be made anew.

        Raises:
            Overtaken: only of a guarded one.
            ServerFault: a ReceiverUnavailable that may be due to the Bundle.
            ReceiverUnavailable: no answer, or one that says "later", as often as we asked; whether it was stored is unknown, and sending
                it again is safe.
            Poison: ``RECEIVER_REFUSED``; the path names the code of the server's OperationOutcome.
        """
        await self._answered(self.base, request, _FHIR_JSON, overtaken=_OVERTAKEN if guarded else frozenset())

    async def find(self, kind: str, identifiers: Sequence[str]) -> list[Object]:
        """Resources of this type under any of these ``system|value``, as the server has them now. Raises as ``send``."""
        found: list[Object] = []
        for start in range(0, len(identifiers), _ASKED_AT_ONCE):
            part = identifiers[start : start + _ASKED_AT_ONCE]
            form = urlencode({"identifier": ",".join(part), "_count": str(2 * len(part))}).encode()
            found += _found((await self._answered(f"{self.base}/{kind}/_search", form, _FORM)).content)
        return found

    async def _answered(
        self, url: str, content: bytes, content_type: str, *, overtaken: frozenset[int] = frozenset()
    ) -> httpx.Response:
        for attempt in range(ATTEMPTS):
            answer = await self._ask(url, content, content_type)
            if answer is not None and answer.is_success:
                return answer
            if answer is not None and answer.status_code in overtaken:
                raise Overtaken(path="fhir_server.base_url")
            if (
                answer is not None
                and answer.status_code not in _AGAIN
                and (answer.status_code < 500 or answer.status_code == 501)
            ):
                raise Poison(Reason.RECEIVER_REFUSED, path=refusal(answer.content))
            if attempt + 1 < ATTEMPTS:
                await self._sleep(self._delay(attempt, answer))
        if answer is not None and answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
            raise ServerFault(path="fhir_server.base_url")
        raise ReceiverUnavailable(path="fhir_server.base_url")

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, url: str, content: bytes, content_type: str) -> httpx.Response | None:
        # no-cache: some servers answer a search from memory for a while
        headers = {"content-type": content_type, "accept": _FHIR_JSON, "prefer": "return=minimal", "cache-control": "no-cache"}
        if self._tokens is not None:
            headers["authorization"] = f"Bearer {await self._tokens.get()}"
        try:
            answer = await self._client.post(url, content=content, headers=headers)
        except httpx.HTTPError:
            return None
        if answer.status_code == 401 and self._tokens is not None:
            self._tokens.forget()
        return answer

    def _delay(self, attempt: int, answer: httpx.Response | None) -> float:
        delay = FIRST_DELAY_S * (1 << attempt)
        delay = delay / 2 + self._chance() * delay / 2
        asked: str = answer.headers.get("retry-after", "") if answer is not None else ""
        return min(LONGEST_DELAY_S, max(delay, float(asked))) if asked.isascii() and asked.isdigit() else delay


def _found(body: bytes) -> Iterator[Object]:
    """Resources of a searchset; an OperationOutcome that comes with them is passed over. Raises Poison."""
    try:
        answer = decode(body)
        if answer["resourceType"] != "Bundle":
            raise Poison(Reason.RECEIVER_REFUSED, path="searchset")
        yield from (row["resource"] for row in answer.get("entry", ()) if row["resource"]["resourceType"] != "OperationOutcome")
    except (Poison, KeyError, TypeError):
        raise Poison(Reason.RECEIVER_REFUSED, path="searchset") from None


def refusal(body: bytes) -> str:
    """The issue code as a path, never the server's words: they may quote the resource."""
    try:
        issue = msgspec.json.decode(body)["issue"][0]
        code = issue["code"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, IndexError):
        return "OperationOutcome"
    return f"OperationOutcome.issue.{code}" if isinstance(code, str) and code in ISSUE_CODES else "OperationOutcome"
