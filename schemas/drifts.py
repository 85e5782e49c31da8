"""Drift (``ops.drift.detected.v1``): messages of one sender and department no longer look as they did, or do so again. Numbers alone."""

from __future__ import annotations

from typing import Literal

import msgspec


class Drift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="drift.v1", tag_field="schema"):
    """One feature of one group of messages; a record when it begins, another when it ends.

    Attributes:
        id: deterministic; ``begun`` is the id of the record of the beginning, its own there.
        time: receipt of the message at which it was told (RFC 3339); ``since`` that of the beginning.
        sender, department: pseudonyms; an empty department is all of the sender's.
        before, now: means of the feature in the baseline and in the newest ``messages``.
        psi: population stability index; ``p`` of the two-sample Kolmogorov-Smirnov test.
        entity_model, assertion_rules, policy: what found the mentions; the baseline is of the same.
    """

    id: str
    begun: str
    state: Literal["begun", "ended"]
    time: str
    since: str
    sender: str
    department: str
    kind: str
    feature: str
    before: float
    now: float
    psi: float
    p: float
    messages: int
    entity_model: str
    assertion_rules: str = ""
    policy: str = ""
