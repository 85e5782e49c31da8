"""PHEE pharmacovigilance events, JSON lines: only the arguments of an event are marked, other mentions are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.data.document import Document, GoldSpan, flatten
from training.data.labels import PHEE


def _arguments(node: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    for role, value in node.items():
        if not isinstance(value, dict):
            continue
        if role in PHEE:
            for starts, texts in zip(value.get("start", []), value.get("text", []), strict=True):
                for start, text in zip(starts, texts, strict=True):
                    yield role, start, text
        yield from _arguments(value)


def read_phee(path: Path) -> list[Document]:
    """One document a sentence; nothing is completely annotated, so ``annotated`` is empty."""
    found: list[Document] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        row = json.loads(line)
        text = row["context"]
        spans = {
            GoldSpan(start, start + len(words), PHEE[role])
            for group in row["annotations"]
            for event in group["events"]
            for role, start, words in _arguments(event)
            if text[start : start + len(words)] == words
        }
        found.append(
            Document(f"phee-{row['id']}", text, flatten(sorted(spans, key=lambda s: (s.start, s.end, s.types))), frozenset())
        )
    return found
