"""The second leak check: the patterns of de-identification once more over a finished note, before it becomes a sample that people read and store.

The first check knows the message's identity and is gone with it; this one knows nobody and looks for what has the form of an identifier. What
the rules wrote themselves (``[NAME]``, ``[DATE 2024]``, ``[AGE 90+]``) and what the profile lets stay is no suspicion. Stages do not know each
other: here the check is handed to the feedback stage.
"""

from __future__ import annotations

import re

from agents.deidentify.policy import Policy, load_policy, load_policy_file
from agents.deidentify.surrogates import KINDS
from agents.deidentify.text.normalise import normalise
from agents.deidentify.text.recognizers import find_all
from agents.deidentify.text.spans import AGE, DATE
from agents.feedback.agent import FeedbackStage
from streams.settings import Deid, Settings

_TAG = re.compile(r"\[(?:NAME|DATE(?: \d{4})?|AGE 90\+|ID|PHONE|EMAIL|URL|LOCATION|ORGANIZATION)\]")


class SecondCheck:
    """Pure; the time is linear in the text. ``policy``: under which the notes were de-identified."""

    def __init__(self, policy: Policy) -> None:
        self._stays = frozenset(
            (
                *((DATE,) if policy.dates != "year" else ()),
                *(() if policy.caps_ages else (AGE,)),
                *(KINDS if policy.surrogates else ()),
            )
        )

    def __call__(self, text: str) -> str:
        """The kind of the first identifier that the text seems to hold; empty for none."""
        normal = normalise(text).text
        tags = [match.span() for match in _TAG.finditer(normal)]
        for span in find_all(normal):
            within = any(start <= span.start and span.end <= end for start, end in tags)
            if not within and span.type not in self._stays:
                return span.type
        return ""


def second_check(deid: Deid) -> SecondCheck:
    """The check for notes of these settings. Raises ConfigurationError when the rules cannot be read."""
    return SecondCheck(load_policy_file(deid.rules_file) if deid.rules_file else load_policy(deid.profile))


def build(settings: Settings) -> FeedbackStage:
    """The stage ``feedback`` with its check."""
    return FeedbackStage(settings, second_check(settings.deid))
