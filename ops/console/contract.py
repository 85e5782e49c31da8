"""What the HTTP API takes and answers: the forms of requests and answers, the paths, the codes of errors.

The OpenAPI document is made from this; the tests hold real answers against it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ops.annotate import Item
from ops.explain import Entity, ToldFlag
from schemas.clinical import Fact
from schemas.errors import Reason
from schemas.findings import Mention, Relation
from schemas.flags import Flag

Offset = Annotated[int, msgspec.Meta(ge=0)]

#: Codes of this door alone; all others are reasons of ``schemas.errors``.
UNAUTHORIZED, NOT_FOUND, METHOD, TIMEOUT, BUSY = "unauthorized", "not_found", "method_not_allowed", "timeout", "busy"
OWN_CODES = (UNAUTHORIZED, NOT_FOUND, METHOD, TIMEOUT, BUSY)

#: Reason -> status. Any other reason of a message that cannot be processed is 422, whatever else is our own fault: 500.
STATUS = {
    Reason.MALFORMED_HL7: 400,
    Reason.MALFORMED_FHIR: 400,
    Reason.MALFORMED_JSON: 400,
    Reason.UNDECODABLE_CHARSET: 400,
    Reason.TOO_DEEP: 400,
    Reason.TOO_LARGE: 413,
    Reason.UNSUPPORTED_CONTENT_TYPE: 415,
}


class EntityQuestion(Item, frozen=True, kw_only=True):
    """Which entity: the one that covers the character ``start`` of the note ``note`` as it was sent (a mention's ``original``)."""

    start: Offset
    note: str = "text"


class FlagQuestion(Item, frozen=True, kw_only=True):
    """Which flags: those of this type, rule or id; all where none is named. ``in_words``: also the model's sentence."""

    flag: str = ""
    in_words: bool = False


class FlagAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``outcomes`` by rule id: what each rule came to, also those that raised nothing. ``writer``: the model behind ``in_words``."""

    flags: tuple[ToldFlag, ...]
    outcomes: dict[str, str]
    writer: str = ""


class EntityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    entity: Entity
    model: str


class Redacted(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets are in the note as it was sent."""

    note: str
    start: Offset
    end: Offset
    type: str
    method: str
    replacement: str
    layer: str
    rule: str
    score: float | None


class Clean(msgspec.Struct, frozen=True, kw_only=True):
    """``text`` or ``message``, as it was sent."""

    spans: tuple[Redacted, ...]
    text: str | msgspec.UnsetType = msgspec.UNSET
    message: str | msgspec.UnsetType = msgspec.UNSET


class Note(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    text: str
    sha256: str


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ``wardstream annotate``."""

    deid: Clean
    notes: tuple[Note, ...]
    mentions: tuple[Mention, ...]
    relations: tuple[Relation, ...]
    facts: tuple[Fact, ...]
    flags: tuple[Flag, ...]
    coverage: dict[str, Any]
    versions: dict[str, Any]
    id: str | int | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """``code`` is one of a closed list; ``detail`` is fixed words and places, never a value of the request."""

    code: str
    detail: str


class Error(msgspec.Struct, frozen=True, kw_only=True):
    error: Problem


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["alive"] = "alive"
