"""Samples and labels as Parquet: columns for people (pandas, DuckDB, Spark), and in ``record`` the exact record. Equal rows give equal bytes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import ConfigurationError
from schemas.labels import ReviewedLabel
from schemas.samples import Sample
from training.label_store.rows import Row

_SHARED = [
    ("id", pa.string()),
    ("subject", pa.string()),
    ("at", pa.timestamp("ms", tz="UTC")),
    ("note", pa.string()),
    ("text", pa.string()),
    ("record", pa.string()),
    ("sha256", pa.string()),
]
_WORDS = pa.list_(pa.string())
SCHEMAS = {
    "sample": pa.schema(
        [
            *_SHARED,
            ("sender", pa.string()),
            ("reason", pa.string()),
            ("score", pa.float64()),
            ("why", _WORDS),
            ("selection", pa.string()),
            ("flags", _WORDS),
            ("mentions", pa.int32()),
            ("entity_model", pa.string()),
            ("policy", pa.string()),
        ]
    ),
    "label": pa.schema(
        [
            *_SHARED,
            ("sample", pa.string()),
            ("reviewer", pa.string()),
            ("guideline", pa.string()),
            ("decided", pa.string()),
            ("annotated", _WORDS),
            ("spans", pa.int32()),
        ]
    ),
}


def digest_of(row: Row) -> str:
    """SHA-256 of the record as it is kept."""
    return hashlib.sha256(_record(row)).hexdigest()


def encode(kind: str, rows: Sequence[Row]) -> bytes:
    """A Parquet file of rows of one kind, in the order of their ids."""
    columns = [_columns(row) for row in sorted(rows, key=lambda row: (row.record.id, row.at, digest_of(row)))]
    return write(pa.Table.from_pylist(columns, schema=SCHEMAS[kind]))


def write(table: Any) -> bytes:
    """A Parquet file of a table."""
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def read(content: bytes, columns: Sequence[str] | None = None) -> Any:
    """The table of a part; ``columns`` alone where given."""
    return pq.ParquetFile(io.BytesIO(content)).read(columns=None if columns is None else list(columns))


def rows(kind: str, content: bytes) -> list[Row]:
    """The rows of a part. Raises ConfigurationError: it holds something else than records of this kind."""
    day = ""
    made: type[Sample] | type[ReviewedLabel] = Sample if kind == "sample" else ReviewedLabel
    try:
        table = read(content, ("at", "record"))
        found = zip(table["at"].cast(pa.int64()).to_pylist(), table["record"].to_pylist(), strict=True)
        return [Row(kind, day, at, msgspec.json.decode(record, type=made)) for at, record in found]  # type: ignore[arg-type]
    except (pa.ArrowException, KeyError, msgspec.MsgspecError):
        raise ConfigurationError(path="labels.store", detail="a part holds something else than its kind") from None


def without(content: bytes, column: str, values: Collection[str]) -> tuple[bytes | None, dict[str, list[str]], int]:
    """The part without the rows whose ``column`` is one of ``values`` (``None``: none is left), the ids of those by subject, and how many rows
    are left. The same bytes where there is no such row."""
    table = read(content)
    gone = [value in values for value in table[column].to_pylist()]
    if not any(gone):
        return content, {}, table.num_rows
    removed: dict[str, list[str]] = {}
    for row in table.select(["id", "subject"]).filter(pa.array(gone)).to_pylist():
        removed.setdefault(row["subject"], []).append(row["id"])
    left = table.filter(pa.array([not each for each in gone]))
    return (write(left) if left.num_rows else None), removed, left.num_rows


def _record(row: Row) -> bytes:
    return msgspec.json.encode(row.record, order="deterministic")


def _columns(row: Row) -> dict[str, object]:
    record = row.record
    shared = {
        "id": record.id,
        "subject": record.subject,
        "at": row.at,
        "note": record.note.path,
        "text": record.note.text,
        "record": _record(row).decode(),
        "sha256": digest_of(row),
    }
    if isinstance(record, Sample):
        return shared | {
            "sender": record.sender,
            "reason": record.reason,
            "score": record.score,
            "why": list(record.why),
            "selection": record.selection,
            "flags": list(record.flags),
            "mentions": len(record.mentions),
            "entity_model": record.versions.entity_model,
            "policy": record.versions.policy,
        }
    return shared | {
        "sample": record.sample,
        "reviewer": record.reviewer,
        "guideline": record.guideline,
        "decided": record.decided,
        "annotated": list(record.annotated),
        "spans": len(record.spans),
    }
