"""JSON Lines in, JSON Lines out: the offline form of the pipeline. One input object a line, one output object a line, in order.

Input: ``{"id","text"}`` or ``{"id","format":"hl7v2"|"fhir","message"}``; with ``text`` also ``"deid": false`` (clean already) and
 ``"mentions": [{"start","end","type"}]`` (spans only to be asserted and coded).
Output: see ``docs/reference/annotate.md``. A bad line becomes ``{"id","error":{"code","detail"}}`` and the run goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import msgspec

from agents.offline import Annotated, GivenMention, Offline, Read
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import Reason, SchemaMismatch, WardstreamError
from schemas.findings import MENTION_TYPES, Mention

#: Lines read ahead of the one being written, per thread: bounds memory on a fast producer.
READ_AHEAD = 4
CONTENT_TYPES = {"hl7v2": HL7_V2, "fhir": FHIR_JSON}


class Given(msgspec.Struct, frozen=True):
    start: int
    end: int
    type: str


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One input: a text or a message, in the form of ``docs/reference/annotate.md``."""

    id: str | int | None = None
    text: str | None = None
    format: Literal["hl7v2", "fhir"] | None = None
    message: str | dict[str, Any] | None = None
    deid: bool = True
    mentions: list[Given] | None = None


def check(item: Item) -> None:
    """Raises SchemaMismatch where fields stand together that do not belong together, or a span lies outside its text."""
    if (item.text is None) == (item.message is None):
        raise SchemaMismatch(detail="exactly one of text and message is needed")
    if item.message is not None and item.format is None:
        raise SchemaMismatch(detail="message needs format: hl7v2 or fhir")
    if item.text is None and (item.mentions is not None or not item.deid):
        raise SchemaMismatch(detail="deid and mentions go with text only")
    for mention in item.mentions or ():
        if not 0 <= mention.start < mention.end <= len(item.text or ""):
            raise SchemaMismatch(detail="a mention lies outside the text")
        if mention.type not in MENTION_TYPES:
            raise SchemaMismatch(detail="unknown mention type")
    if item.mentions is not None and item.deid:
        raise SchemaMismatch(detail='mentions need "deid": false, because their offsets are those of clean text')


def read(item: Item, offline: Offline) -> Read:
    """De-identification and extraction of a checked item. Raises Poison for what cannot be read or must not pass."""
    if item.text is not None:
        given = None if item.mentions is None else [GivenMention(m.start, m.end, m.type) for m in item.mentions]
        return offline.read_text(item.text, clean=not item.deid, given=given)
    payload = item.message.encode() if isinstance(item.message, str) else msgspec.json.encode(item.message)
    return offline.read_message(CONTENT_TYPES[item.format or "hl7v2"], payload)


def annotate(lines: Iterable[bytes], offline: Offline, *, threads: int) -> Iterator[tuple[bytes, bool]]:
    """Yield ``(output line without newline, succeeded)`` for each input line, in input order.

    Reading and extraction run in ``threads`` threads; decisions run in input order, because messages of one patient see
    each other's facts.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="annotate") as pool:
        pending: deque[tuple[object, Future[Read]]] = deque()
        for line in lines:
            if not line.strip():
                continue
            pending.append(_submit(line, offline, pool))
            while len(pending) > threads * READ_AHEAD:
                yield _finish(*pending.popleft(), offline)
        while pending:
            yield _finish(*pending.popleft(), offline)


def _submit(line: bytes, offline: Offline, pool: ThreadPoolExecutor) -> tuple[object, Future[Read]]:
    try:
        item = msgspec.json.decode(line, type=Item)
        check(item)
    except (msgspec.MsgspecError, UnicodeDecodeError, SchemaMismatch) as error:
        failed: Future[Read] = Future()
        known = isinstance(error, SchemaMismatch)
        failed.set_exception(error if known else SchemaMismatch(detail="not a JSON object of the documented form"))
        return _id_of(line), failed
    return item.id, pool.submit(read, item, offline)


def _id_of(line: bytes) -> object:
    try:
        loose = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    found = loose.get("id") if isinstance(loose, dict) else None
    return found if isinstance(found, str | int) else None


def _finish(line_id: object, future: Future[Read], offline: Offline) -> tuple[bytes, bool]:
    try:
        annotated = offline.decide(future.result())
    except WardstreamError as error:
        return _error(line_id, error.reason.value, told(error)), False
    except Exception as error:  # one line must not end the run; the type's name carries no text of the input
        return _error(line_id, Reason.UNEXPECTED.value, type(error).__name__), False
    return msgspec.json.encode({"id": line_id, **render(annotated)}), True


def told(error: WardstreamError) -> str:
    """Place and fixed words of an error, for ``detail``; its code stands beside it. Never a value of the input."""
    return ": ".join(part for part in (error.path, error.detail) if part)


def _error(line_id: object, code: str, detail: str) -> bytes:
    return msgspec.json.encode({"id": line_id, "error": {"code": code, "detail": detail}})


def render(annotated: Annotated) -> dict[str, Any]:
    """The documented output object without its ``id``."""
    findings = annotated.findings
    return {
        "deid": {
            annotated.clean_key: annotated.clean,
            "spans": [
                {"note": path, "start": r.start, "end": r.end, "type": r.type, "method": r.method, "replacement": r.replacement,
                 "layer": r.layer, "rule": r.rule, "score": r.score}
                for path, redactions in annotated.redactions.items()
                for r in redactions
            ],
        },
        "notes": [{"path": note.path, "text": note.text, "sha256": note.sha256} for note in findings.notes],
        "mentions": [_mention(mention) for mention in findings.mentions],
        "relations": msgspec.to_builtins(findings.relations),
        "facts": msgspec.to_builtins(findings.facts),
        "flags": msgspec.to_builtins(annotated.decision.flags),
        "coverage": msgspec.to_builtins(findings.coverage),
        "versions": msgspec.structs.asdict(annotated.versions),
    }  # fmt: skip


def _mention(mention: Mention) -> dict[str, Any]:
    """What a mention always has, and what it has besides (``expansion``, ``relatives``, ``period``, ``laterality``, ``onset``)."""
    original = mention.original
    return {
        **{"section": "", "codes": [], **msgspec.to_builtins(mention)},
        "assertion": msgspec.structs.asdict(mention.assertion),
        "original": {
            "start": mention.start if original is None else original.start,
            "end": mention.end if original is None else original.end,
        },
    }
