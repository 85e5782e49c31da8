"""Which notes are proposed for review and how many: one versioned file, read strictly."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.errors import ConfigurationError
from schemas.samples import SampleReason

SHIPPED = Path(__file__).with_name("policy.toml")

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
#: Reasons that the stage itself finds in a message; chance and cards have ways of their own.
StreamReason = Literal["disagreement", "drift", "uncertain", "new_sender", "rare"]
_STREAM: frozenset[str] = frozenset(StreamReason.__args__)  # type: ignore[attr-defined]
_BUDGETED: frozenset[str] = _STREAM | {"overridden", "accepted"}


class Random(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    share: Share
    per_day: Count


class Uncertain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    score_below: Share
    margin_below: Share


class Rare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    types_below: Share
    notes_before: Count
    name_notes: Annotated[int, Meta(ge=0, le=1000)]


class NewSender(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    messages: Annotated[int, Meta(ge=0, le=10_000)]


class Drift(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    share: Share


class Cards(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    overridden: Share
    accepted: Share


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Samples a day; ``per_reason`` names every reason but ``random``."""

    per_day: Count
    per_sender: Count
    per_patient: Count
    per_reason: dict[SampleReason, Count]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """See ``policy.toml``, which says what each number does."""

    version: str
    priorities: tuple[StreamReason, ...]
    random: Random
    uncertain: Uncertain
    rare: Rare
    new_sender: NewSender
    drift: Drift
    cards: Cards
    budget: Budget

    @property
    def selection(self) -> str:
        """``version#digest``; the digest is over what the file says, not over how it is written."""
        return f"{self.version}#{hashlib.sha256(msgspec.json.encode(self, order='sorted')).hexdigest()[:12]}"


def load_policy(path: Path | None = None) -> Policy:
    """The shipped policy, or a site's. Raises ConfigurationError naming the file and what is wrong with it."""
    where = path or SHIPPED
    try:
        policy = msgspec.toml.decode(where.read_bytes(), type=Policy)
    except OSError:
        raise ConfigurationError(path="feedback.policy_file", detail="the file cannot be read") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigurationError(path="feedback.policy_file", detail=str(error)) from None
    if sorted(policy.priorities) != sorted(_STREAM):
        raise ConfigurationError(path="feedback.policy_file", detail="priorities name each reason of the stream once")
    if policy.budget.per_reason.keys() != _BUDGETED:
        raise ConfigurationError(path="feedback.policy_file", detail="budget.per_reason names each reason but random")
    return policy
