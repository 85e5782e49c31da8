"""Retraining runs (``train.run.recorded.v1``, key: run id): why one began, what it learned from, what became of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.releases import BundleRef

Trigger = Literal["labels", "drift", "schedule", "command"]


class TrainingRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="run.v1", tag_field="schema"):
    """The newest record of a run holds. ``began``, ``ended``: RFC 3339 instants.

    ``learned`` and ``held`` count reviewed labels: those that it was taught, and those kept apart for the gate; ``data`` names what it read by
    SHA-256. ``challenger`` is the bundle that came out; ``tracking`` the id of the MLflow run; ``failed`` the step that failed.
    """

    id: str
    model: str
    trigger: Trigger
    began: str
    outcome: Literal["started", "made", "failed"]
    champion: BundleRef
    learned: int
    held: int
    data: dict[str, str]
    source: Literal["topic", "file"] = "topic"
    ended: str = ""
    challenger: BundleRef | None = None
    tracking: str = ""
    failed: str = ""
