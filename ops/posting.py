"""Post a set of message files through all three doors, as a site would, and say what each door answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ops.messages import MessageFile, post_fhir, post_mllp, produce
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Posted:
    """``answer`` is MSA-1, the HTTP status, or ``stored``."""

    name: str
    door: str
    answer: str

    @property
    def accepted(self) -> bool:
        return self.answer in {"AA", "CA", "stored"} or self.answer.startswith("2")


@dataclass(frozen=True, slots=True)
class Doors:
    mllp_host: str
    mllp_port: int
    http_url: str
    http_token: str


def door_of(message: MessageFile) -> str:
    """The folder name ``kafka`` sends HL7 straight to the topic; otherwise HL7 goes over MLLP and FHIR over HTTP."""
    if message.format != "hl7v2":
        return "http"
    return "kafka" if message.route == "kafka" else "mllp"


def post_all(messages: Sequence[MessageFile], doors: Doors, settings: Settings, done: Callable[[Posted], None]) -> list[Posted]:
    """Post in the given order; ``done`` hears each answer."""
    posted: list[Posted] = []
    for message in messages:
        door = door_of(message)
        if door == "kafka":
            produce(settings, [message])
            answer = "stored"
        elif door == "mllp":
            (answer,) = asyncio.run(post_mllp(doors.mllp_host, doors.mllp_port, [message.payload]))
        else:
            answer = str(post_fhir(doors.http_url, doors.http_token, message).status_code)
        item = Posted(message.path.name, door, answer)
        posted.append(item)
        done(item)
    return posted
