"""The schedule as data: tests, faults, what must hold."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

Size = Literal["small", "full"]
Do = Literal[
    "kill", "term", "upgrade", "downgrade", "pause", "add", "remove", "clock",
    "broker-kill", "broker-one", "broker-full",
    "store-kill", "store-stop", "store-full", "store-slow", "store-old",
]  # fmt: skip
Control = Literal["", "acknowledges-first", "ids-by-chance", "other-shape", "last-come-wins"]
SCHEDULE = Path(__file__).with_name("schedule.toml")
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"begins": "from", "ends": "to"}):
    do: Do
    stage: str = "each"
    times: dict[Size, int]
    begins: Share
    ends: Share
    seconds: dict[Size, float] | float = 0.0


class Must(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``some`` is demanded of a control. ``poison``: dead are those that were made to be and no other. ``stale``: facts that do not stand as in-order delivery leaves them. ``growth``: most memory of a process of ours, as a multiple of what it had when a tenth was done."""

    lost: Literal["none", "some"] = "none"
    doubled: Literal["none", "some"] = "none"
    changed: Literal["none", "any"] = "none"
    dead: Literal["poison", "any", "some"] = "poison"
    stale: Literal["none", "some"] = "none"
    growth: float | None = None
    redelivered: Literal["any", "none"] = "any"

    @property
    def control(self) -> tuple[str, ...]:
        """What must go wrong; empty for a test that is no control."""
        return tuple(name for name in ("lost", "doubled", "dead", "stale") if getattr(self, name) == "some")


class Test(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    title: str
    messages: dict[Size, int]
    workers: int
    faults: tuple[Fault, ...] = ()
    poison: Share = 0.0
    repeats: Share = 0.0
    late: Share = 0.0
    corrections: Share = 0.0
    control: Control = ""
    brokers: int = 1
    disk_mib: int | None = None
    clock: bool = False
    previous: bool = False
    supervised: bool = False
    seal: bool = True
    connections: int = 4
    must: Must = Must()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    test: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One fault, due when ``after`` messages have ended; ``steady``: from here on memory is compared."""

    after: int
    do: Do | Literal["steady"]
    stage: str
    seconds: float


def load(path: Path = SCHEDULE) -> tuple[Test, ...]:
    """Raises msgspec.ValidationError, which says where the file is wrong."""
    return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).test


def events(test: Test, size: Size, stages: tuple[str, ...], orders: Mapping[str, tuple[str, ...]] = {}) -> list[Event]:
    """Every fault with its moment, in order; ``each`` becomes the stages in turn, or those that ``orders`` has for what is done."""
    found = []
    for fault in test.faults:
        times = fault.times.get(size, 0)
        for number in range(times):
            share = fault.begins + (fault.ends - fault.begins) * (number / (times - 1) if times > 1 else 0)
            turn = orders.get(fault.do, stages)
            stage = turn[number % len(turn)] if fault.stage == "each" else fault.stage
            seconds = fault.seconds if isinstance(fault.seconds, float) else fault.seconds[size]
            found.append(Event(round(share * test.messages[size]), fault.do, stage, seconds))
    return sorted(found, key=lambda event: event.after)
