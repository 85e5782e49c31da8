"""What one set of decisions says otherwise than another on the same messages: mentions and flags added, lost, changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from schemas.flags import Decision
from streams.record import Record

Change = Literal["added", "lost", "changed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """``origin``: the message; ``what``: ``mention`` or ``flag``; ``words``: the mention's text or the flag's summary, de-identified."""

    origin: str
    what: Literal["mention", "flag"]
    type: str
    change: Change
    words: str


@dataclass(slots=True)
class Report:
    """``messages``: in both; ``missing``: in the published ones alone (not replayed yet, or refused in the shadow); ``new``: in the shadow alone."""

    messages: int = 0
    equal: int = 0
    missing: int = 0
    new: int = 0
    counts: Counter[tuple[str, str, Change]] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


def latest(records: Iterable[Record], origins: frozenset[str] | None = None) -> dict[str, tuple[Record, Decision]]:
    """The newest decision of each message, by the message's id; records that are none are passed over."""
    found: dict[str, tuple[Record, Decision]] = {}
    for record in records:
        origin = dict(record.headers).get("ce_origin", b"").decode("utf-8", "replace")
        if not origin or (origins is not None and origin not in origins):
            continue
        known = found.get(origin)
        if known is not None and known[0].timestamp > record.timestamp:
            continue
        try:
            found[origin] = record, msgspec.json.decode(record.value or b"", type=Decision)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return found


def compare(published: Mapping[str, Decision], shadow: Mapping[str, Decision]) -> Report:
    """The shadow against what was published, message by message."""
    report = Report(missing=len(published.keys() - shadow.keys()), new=len(shadow.keys() - published.keys()))
    for origin in sorted(shadow):
        before = published.get(origin)
        found = list(_differences(origin, before, shadow[origin]))
        report.messages += before is not None
        report.equal += before is not None and not found
        if found or before is None:
            report.differing.append(origin)
        report.differences += found
        report.counts.update((one.what, one.type, one.change) for one in found)
    return report


def _differences(origin: str, before: Decision | None, after: Decision) -> Iterable[Difference]:
    for what, old, new in (
        ("mention", _mentions(before), _mentions(after)),
        ("flag", _flags(before), _flags(after)),
    ):
        for key in sorted(old.keys() | new.keys()):
            change: Change | None = (
                "added" if key not in old else "lost" if key not in new else "changed" if old[key][0] != new[key][0] else None
            )
            if change is not None:
                words = (new.get(key) or old[key])[1]
                yield Difference(origin, what, key[0], change, words)  # type: ignore[arg-type]


_Said = dict[tuple[str, ...], tuple[object, str]]


def _mentions(decision: Decision | None) -> _Said:
    rows = decision.findings.mentions if decision else ()
    return {(m.type, m.note, str(m.start), str(m.end)): ((m.assertion, m.codes), m.text) for m in rows}


def _flags(decision: Decision | None) -> _Said:
    rows = decision.flags if decision else ()
    return {(f.type, f.suppress_key): ((f.severity, f.summary, f.ended), f.summary) for f in rows}
