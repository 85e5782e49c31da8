"""Published Bundles as NDJSON files with a manifest (https://hl7.org/fhir/uv/bulkdata/STU2/export.html#response---complete-status).

The latest version of each resource stands in ``state.sqlite`` while the log is read; the files are written from it at the end.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from agents.publish.transaction import fact_version
from schemas.errors import ConfigurationError, Poison
from schemas.fhir.json import decode, encode
from schemas.ids import derived_id
from streams.record import Record

STATE, MANIFEST = "state.sqlite", "manifest.json"
#: Records between two commits: what an interrupted run reads again.
_COMMIT_EVERY = 200
_TABLES = """
CREATE TABLE IF NOT EXISTS resource (type TEXT, id TEXT, json BLOB, PRIMARY KEY (type, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS place (partition INTEGER PRIMARY KEY, offset INTEGER);
CREATE TABLE IF NOT EXISTS asked (request TEXT);
"""


class BulkExport:
    """One folder of one request. ``types`` empty: all.

    Raises:
        ConfigurationError: the folder holds the export of another request.
    """

    def __init__(self, folder: Path, *, since: datetime | None = None, types: Iterable[str] = ()) -> None:
        self._folder, self._types = folder, frozenset(types)
        asked = [f"_since={since.isoformat()}"] if since else []
        asked += [f"_type={','.join(sorted(self._types))}"] if self._types else []
        self.request = "urn:wardstream:bulk-export" + ("?" + "&".join(asked) if asked else "")
        self.unread = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder / STATE
        state.touch(mode=0o600)
        self._store = sqlite3.connect(state)
        self._store.executescript(_TABLES)
        before = self._store.execute("SELECT request FROM asked").fetchone()
        if before is None:
            self._store.execute("INSERT INTO asked VALUES (?)", (self.request,))
            self._store.commit()
        elif before[0] != self.request:
            self._store.close()
            raise ConfigurationError(path="--out", detail="the folder holds an export of other types or of another time")
        self._places: dict[int, int] = dict(self._store.execute("SELECT partition, offset FROM place"))

    def __enter__(self) -> BulkExport:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._commit()
        self._store.close()

    def read(self, records: Iterable[Record]) -> int:
        """Take what was not taken before; returns how many records that were. A record that is no Bundle is counted in ``unread``."""
        taken = 0
        for record in records:
            if record.offset <= self._places.get(record.partition, -1):
                continue
            try:
                rows = resources(record.value or b"")
            except Poison:
                self.unread += 1
            else:
                kept = [row for row in rows if (not self._types or row[0] in self._types) and not self._outdated(*row)]
                self._store.executemany("INSERT OR REPLACE INTO resource VALUES (?, ?, ?)", kept)
            self._places[record.partition] = record.offset
            taken += 1
            if taken % _COMMIT_EVERY == 0:
                self._commit()
        self._commit()
        return taken

    def write(self, now: datetime) -> dict[str, int]:
        """The files, then the manifest that names them; returns resources by type. A file is there whole or not at all."""
        counts: dict[str, int] = dict(self._store.execute("SELECT type, COUNT(*) FROM resource GROUP BY type ORDER BY type"))
        for kind in counts:
            rows = self._store.execute("SELECT json FROM resource WHERE type = ? ORDER BY id", (kind,))
            _replace(self._folder / f"{kind}.ndjson", (row[0] + b"\n" for row in rows))
        manifest = {
            "transactionTime": now.isoformat(),
            "request": self.request,
            "requiresAccessToken": False,
            "output": [{"type": kind, "url": f"{kind}.ndjson", "count": count} for kind, count in counts.items()],
            "error": [],
        }
        _replace(self._folder / MANIFEST, [json.dumps(manifest, indent=2).encode() + b"\n"])
        return counts

    def _outdated(self, kind: str, name: str, line: bytes) -> bool:
        """A late older version of a fact: what was corrected already stays."""
        version = fact_version(decode(line))
        if version is None:
            return False
        known = self._store.execute("SELECT json FROM resource WHERE type = ? AND id = ?", (kind, name)).fetchone()
        return known is not None and (fact_version(decode(known[0])) or 0) > version

    def _commit(self) -> None:
        self._store.executemany("INSERT OR REPLACE INTO place VALUES (?, ?)", self._places.items())
        self._store.commit()


def resources(bundle: bytes) -> list[tuple[str, str, bytes]]:
    """Type, id and line of each entry. What carries an identifier is named after it, so that it is one over all Bundles.

    Raises:
        Poison: it is no Bundle of resources with a ``fullUrl``.
    """
    found = decode(bundle)
    try:
        entries = [(row["fullUrl"], row["resource"], row["resource"]["resourceType"]) for row in found["entry"]]
        names = {url: _name(kind, resource) for url, resource, kind in entries}
    except (KeyError, TypeError):
        raise Poison(path="Bundle.entry") from None
    references = {url: f"{kind}/{names[url]}" for url, _, kind in entries}
    lines = (_referring(resource, references) | {"id": names[url]} for url, resource, _ in entries)
    return [(kind, names[url], encode(line)) for (url, _, kind), line in zip(entries, lines, strict=True)]


def _name(kind: str, resource: dict[str, Any]) -> str:
    rows = resource.get("identifier")
    for row in rows if isinstance(rows, list) else [rows]:
        if isinstance(row, dict) and row.get("system") and row.get("value"):
            return derived_id(kind, "bulk-export", ordinal=f"{row['system']}|{row['value']}")
    return str(resource["id"])


def _referring(node: Any, references: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            name: references.get(value, value)
            if name == "reference" and isinstance(value, str)
            else _referring(value, references)
            for name, value in node.items()
        }
    return [_referring(child, references) for child in node] if isinstance(node, list) else node


def _replace(path: Path, chunks: Iterable[bytes]) -> None:
    part = path.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.writelines(chunks)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
