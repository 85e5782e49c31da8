"""Who is signed in at which browser; in memory, so that a restart signs everybody out."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from ops.review.accounts import Account

#: More are a script, not people; the oldest goes.
_MOST = 500


@dataclass(frozen=True, slots=True)
class Session:
    """``csrf``: every request that changes something repeats it in a header, which no other site's page can set. ``until`` by the clock."""

    account: Account
    csrf: str
    until: float

    def accepts(self, csrf: str) -> bool:
        return hmac.compare_digest(self.csrf.encode(), csrf.encode())


class Sessions:
    """Args: ``lasts_s`` seconds from signing in; ``clock`` in seconds that only go on."""

    def __init__(self, lasts_s: float, clock: Callable[[], float], draw: Callable[[], str] = secrets.token_urlsafe) -> None:
        self._lasts_s, self._clock, self._draw = lasts_s, clock, draw
        self._open: dict[str, Session] = {}

    def open(self, account: Account) -> tuple[str, Session]:
        """A new session and its name, which the browser keeps in a cookie."""
        now = self._clock()
        for name in [name for name, session in self._open.items() if session.until <= now]:
            del self._open[name]
        while len(self._open) >= _MOST:
            del self._open[next(iter(self._open))]
        name, session = self._draw(), Session(account, self._draw(), now + self._lasts_s)
        self._open[name] = session
        return name, session

    def find(self, name: str) -> Session | None:
        session = self._open.get(name)
        return session if session is not None and session.until > self._clock() else None

    def close(self, name: str) -> None:
        self._open.pop(name, None)
