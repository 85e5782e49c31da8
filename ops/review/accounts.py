"""Who may review: a file of names, roles and digests of tokens; and the pseudonym that stands for a name in labels."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from schemas.errors import ConfigurationError
from streams.clients import read_secret

Role = Literal["reviewer", "adjudicator"]
#: Names are shown, and never leave the page's own machine but in the audit log.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_FILE, _KEY = "review.reviewers_file", "review.key_file"
_SHORTEST_KEY = 32


@dataclass(frozen=True, slots=True)
class Account:
    """``proof``: digest of the token, so that a new token makes it another account and ends the sessions of the old one."""

    name: str
    role: Role
    pseudonym: str
    proof: str = field(default="", repr=False)


def digest(token: str) -> str:
    """What the file keeps of a token. Tokens are 32 random bytes, so that a plain SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def row(name: str, role: Role, token: str) -> str:
    """One line of the file."""
    return f"{name}:{role}:{digest(token)}"


class Pseudonyms:
    """Names as labels call them: a keyed hash, so that neither a consumer of labels nor a trained model's maker learns who reviewed."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path | None) -> Pseudonyms:
        """Raises ConfigurationError: no file, or fewer than 32 characters in it."""
        if path is None:
            raise ConfigurationError(path=_KEY, detail="make one: wardstream review add NAME")
        key = read_secret(path, _KEY).encode()
        if len(key) < _SHORTEST_KEY:
            raise ConfigurationError(path=_KEY, detail="needs at least 32 characters")
        return cls(key)

    def of(self, name: str) -> str:
        return f"r-{self._digest('reviewer', name).hex()[:16]}"

    def draw(self, *parts: str) -> float:
        """A number in [0, 1), always the same for the same parts and not to be foreseen without the key."""
        return int.from_bytes(self._digest("draw", *parts)[:8]) / 2**64

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._key, "\x1f".join(parts).encode(), "sha256")


class Accounts:
    """Accounts by token, from the file that ``wardstream review add`` writes: ``name:role:digest``, one a line; ``#`` begins a comment."""

    def __init__(self, rows: dict[str, Account]) -> None:
        self._rows = rows

    @classmethod
    def load(cls, path: Path | None, pseudonyms: Pseudonyms) -> Accounts:
        """Raises ConfigurationError: no file, nobody in it, or a line that is none of ours."""
        if path is None:
            raise ConfigurationError(path=_FILE, detail="make one: wardstream review add NAME")
        rows: dict[str, Account] = {}
        for line in read_secret(path, _FILE).splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            name, _, rest = line.strip().partition(":")
            role, _, kept = rest.partition(":")
            if not NAME.fullmatch(name) or role not in ("reviewer", "adjudicator") or not re.fullmatch("[0-9a-f]{64}", kept):
                raise ConfigurationError(path=_FILE, detail="a line is not name:role:digest")
            rows[kept] = Account(name, "adjudicator" if role == "adjudicator" else "reviewer", pseudonyms.of(name), kept)
        if not rows:
            raise ConfigurationError(path=_FILE, detail="names nobody")
        return cls(rows)

    def has(self, account: Account) -> bool:
        """Whether the account is still there, in the same role, by the same token."""
        return account in self._rows.values()

    def find(self, token: str) -> Account | None:
        """Whose token it is. What is looked up is a digest, so that the time it takes tells nothing of any token."""
        return self._rows.get(digest(token))
