"""The blind set of patient messages has the form that its head says; what the triage makes of it is measured elsewhere."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from schemas.flags import Urgency

FILE = Path(__file__).with_name("triage") / "messages.toml"
MESSAGES: list[dict[str, Any]] = tomllib.loads(FILE.read_text("utf-8"))["message"]
ASKS = {"medication", "appointment", "results", "administrative", "symptom", "other"}


def test_forty_messages_of_each_urgency() -> None:
    assert Counter(message["urgency"] for message in MESSAGES) == dict.fromkeys(get_args(Urgency), 40)


def test_no_message_stands_twice() -> None:
    texts = Counter(" ".join(message["text"].casefold().split()) for message in MESSAGES)
    assert [text for text, times in texts.items() if times > 1] == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["text"].strip()[:40])
def test_a_message_has_a_text_and_known_asks_once_each(message: dict[str, Any]) -> None:
    assert set(message) == {"text", "urgency", "asks"}
    assert len(message["text"].split()) >= 5
    asks = message["asks"]
    assert asks
    assert len(asks) == len(set(asks))
    assert set(asks) <= ASKS
    assert asks == ["other"] or "other" not in asks


def test_every_ask_is_covered() -> None:
    assert {ask for message in MESSAGES for ask in message["asks"]} == ASKS
