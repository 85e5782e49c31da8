"""The published contract is generated, current, and complete."""

from __future__ import annotations

from pathlib import Path

import yaml

from streams import asyncapi
from streams.topics import TOPICS, dead_letter

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "asyncapi.yaml"


def test_the_published_document_is_current() -> None:
    """``python -m streams.asyncapi docs/reference/asyncapi.yaml`` after a change of the table."""
    assert PUBLISHED.read_text() == asyncapi.render()


def test_every_topic_and_dead_letter_topic_is_a_channel() -> None:
    """Nothing on the wire is undocumented, and every reference resolves."""
    document = yaml.safe_load(asyncapi.render())
    expected = {topic.name for topic in TOPICS} | {dead_letter(topic.name) for topic in TOPICS if topic.dead_letters}
    assert set(document["channels"]) == expected
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            assert message["$ref"].rsplit("/", 1)[1] in document["components"]["messages"]
    for operation in document["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in expected
