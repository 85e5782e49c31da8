"""The stage ``notify_results``: as ``notify``, of the results that are released for the EHR; each notification is audited."""

from __future__ import annotations

from agents.publish.notify_agent import NotifyStage
from streams.settings import Settings

STAGE = "notify_results"


def build(settings: Settings) -> NotifyStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return NotifyStage(settings, name=STAGE, results="released")
