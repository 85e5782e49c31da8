"""What one set of decisions says otherwise than another on the same messages: mentions and flags added, lost, changed.

A mention whose stretch moved and still overlaps the old one, of the same type, is changed: not one lost and one added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import msgspec

from schemas.flags import Decision
from schemas.ids import derived_id
from schemas.samples import Sample
from streams.record import Record

Change = Literal["added", "lost", "changed"]
_Key = tuple[str, ...]
_Said = dict[_Key, tuple[object, str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """``origin``: the message; ``what``: ``mention`` or ``flag``; ``words``: the mention's text or the flag's summary, de-identified; of a mention
    ``note`` (SHA-256 of its text), ``start`` and ``end`` too."""

    origin: str
    what: Literal["mention", "flag"]
    type: str
    change: Change
    words: str
    note: str = ""
    start: int = 0
    end: int = 0


@dataclass(slots=True)
class Report:
    """``messages``: in both; ``missing``: in the published ones alone (not replayed yet, or refused in the shadow); ``new``: in the shadow alone;
    ``mentions``, ``flags``: published on the messages that are in both."""

    messages: int = 0
    equal: int = 0
    missing: int = 0
    new: int = 0
    mentions: int = 0
    flags: int = 0
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
        report.mentions += len(_mentions(before))
        report.flags += len(_flags(before))
        report.equal += before is not None and not found
        if found or before is None:
            report.differing.append(origin)
        report.differences += found
        report.counts.update((one.what, one.type, one.change) for one in found)
    return report


def summary(report: Report) -> dict[str, Any]:
    """The figures of a report as plain data, and every mention and flag that is lost: what ``wardstream replay compare --json`` prints and
    ``wardstream challenge --shadow`` reads."""
    counts = [
        {"what": what, "type": type_, "change": change, "count": count}
        for (what, type_, change), count in sorted(report.counts.items())
    ]
    return {
        "messages": report.messages, "equal": report.equal, "missing": report.missing, "new": report.new,
        "mentions": report.mentions, "flags": report.flags, "counts": counts,
        "lost": [asdict(one) for one in report.differences if one.change == "lost"],
    }  # fmt: skip


def _differences(origin: str, before: Decision | None, after: Decision) -> Iterable[Difference]:
    old, new = _mentions(before), _mentions(after)
    moved = _moved(old.keys() - new.keys(), new.keys() - old.keys())
    shas = {note.path: note.sha256 for one in (before, after) if one for note in one.findings.notes}
    yield from (_of_mention(origin, key, "changed", new[key][1], shas) for key in sorted(moved.values()))
    gone = {key: said for key, said in old.items() if key not in moved}
    come = {key: said for key, said in new.items() if key not in set(moved.values())}
    yield from (_of_mention(origin, key, change, words, shas) for key, change, words in _changes(gone, come))
    for key, change, words in _changes(_flags(before), _flags(after)):
        yield Difference(origin, "flag", key[0], change, words)


def _of_mention(origin: str, key: _Key, change: Change, words: str, shas: Mapping[str, str]) -> Difference:
    kind, path, start, end = key
    return Difference(origin, "mention", kind, change, words, shas.get(path, ""), int(start), int(end))


def _changes(old: _Said, new: _Said) -> Iterable[tuple[_Key, Change, str]]:
    for key in sorted(old.keys() | new.keys()):
        change: Change | None = (
            "added" if key not in old else "lost" if key not in new else "changed" if old[key][0] != new[key][0] else None
        )
        if change is not None:
            yield key, change, (new.get(key) or old[key])[1]


def _moved(gone: Collection[_Key], come: Collection[_Key]) -> dict[_Key, _Key]:
    """Of the mentions that are gone, those that a new one of their type overlaps, each with one of its own."""
    found: dict[_Key, _Key] = {}
    for key in sorted(gone):
        for other in sorted(come):
            same = key[:2] == other[:2] and int(key[2]) < int(other[3]) and int(other[2]) < int(key[3])
            if same and other not in found.values():
                found[key] = other
                break
    return found


def _mentions(decision: Decision | None) -> _Said:
    rows = decision.findings.mentions if decision else ()
    return {(m.type, m.note, str(m.start), str(m.end)): ((m.assertion, m.codes), m.text) for m in rows}


def _flags(decision: Decision | None) -> _Said:
    rows = decision.flags if decision else ()
    return {(f.type, f.suppress_key): ((f.severity, f.summary, f.ended), f.summary) for f in rows}


def proposals(report: Report, shadow: Mapping[str, Decision], name: str) -> list[Sample]:
    """Notes on which the two disagree, as samples for review with the shadow's mentions prefilled; most differences first."""
    places: dict[tuple[str, str], Counter[Change]] = {}
    for one in report.differences:
        if one.note:
            places.setdefault((one.origin, one.note), Counter())[one.change] += 1
    made = []
    for (origin, sha), changes in sorted(places.items(), key=lambda row: (-row[1].total(), row[0])):
        findings = shadow[origin].findings
        for note in (note for note in findings.notes if note.sha256 == sha):
            mentions = tuple(mention for mention in findings.mentions if mention.note == note.path)
            made.append(
                Sample(
                    id=derived_id(shadow[origin].id, "shadow", ordinal=f"{name}/{note.path}"),
                    origin=origin,
                    subject=findings.subject,
                    reason="disagreement",
                    score=round(min(1.0, changes.total() / max(1, len(mentions))), 4),
                    note=note,
                    mentions=mentions,
                    versions=findings.versions,
                    why=tuple(f"{count} {change} in a shadow" for change, count in sorted(changes.items())),
                    selection=f"shadow/{name}",
                    sender=findings.sender,
                )
            )
    return made
