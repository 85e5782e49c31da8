"""What people did with a dead letter (``ops.letter.handled.v1``), by the letter's place; compacted, so that a list knows what is still open."""

from __future__ import annotations

from typing import Literal

import msgspec


class Handled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="handled.v1", tag_field="schema"):
    """``topic``, ``partition``, ``offset``: of the dead letter; ``act``: id of the command's run, as in the audit log."""

    id: str
    topic: str
    partition: int
    offset: int
    action: Literal["redriven", "discarded"]
    time: str
    agent: str
    act: str
