"""Released models (``ops.model.released.v1``, key: model name): which bundle every worker serves, by digest."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.ids import draw


class BundleRef(msgspec.Struct, frozen=True):
    """A bundle; ``digest`` is the SHA-256 of its ``manifest.json``, which holds the digest of every other file."""

    version: str
    digest: str


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that serves a share of the patients, more than 0 and less than 1."""

    bundle: BundleRef
    share: float


class ModelRelease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="release.v1", tag_field="schema"):
    """The newest record of a name holds. ``previous`` is what a rollback goes back to.

    ``verdict`` is the SHA-256 of the gate's signed verdict; empty where somebody released without one, and then ``overridden`` says why
    (a fixed word, no prose). ``time`` is an RFC 3339 instant, ``agent`` who released.
    """

    id: str
    name: str
    action: Literal["promote", "canary", "rollback"]
    champion: BundleRef
    time: str
    agent: str
    canary: Canary | None = None
    previous: BundleRef | None = None
    verdict: str = ""
    overridden: str = ""


def in_canary(canary: Canary, subject: str) -> bool:
    """Whether the patient with token ``subject`` belongs to the canary's share.

    Stable for one bundle: who is in stays in while the share grows, whatever worker asks. Another bundle draws other patients.
    """
    return draw(canary.bundle.digest, subject) < canary.share
