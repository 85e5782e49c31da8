"""PHEE pharmacovigilance events, JSON lines: only the arguments of an event are marked, other mentions are not.

Its effects and disorders are whole phrases ("fever, anemia and severe leak syndrome") where the other corpora mark each mention by
itself and without its severity. Only short ones without conjunctions are taken as spans; the others become unknown ranges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.data.document import Document, GoldSpan, flatten
from training.data.labels import LABEL_MAPS, PROBLEM_OR_FINDING

_PHRASE = re.compile(r",|\b(?:and|or|with|of|in|to|the|a|an|severe|acute|chronic|mild|fatal|permanent)\b", re.IGNORECASE)
_LONGEST = 3
PHEE = LABEL_MAPS["phee"]


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
            GoldSpan(start, start + len(words), PHEE[role] or ())
            for group in row["annotations"]
            for event in group["events"]
            for role, start, words in _arguments(event)
            if text[start : start + len(words)] == words
        }
        phrases = {s for s in spans if s.types == PROBLEM_OR_FINDING and _is_phrase(text[s.start : s.end])}
        kept = flatten(sorted(spans - phrases, key=lambda s: (s.start, s.end, s.types)))
        unknown = tuple(sorted((s.start, s.end) for s in phrases))
        found.append(Document(f"phee-{row['id']}", text, kept, frozenset(), unknown))
    return found


def _is_phrase(words: str) -> bool:
    return len(words.split()) > _LONGEST or _PHRASE.search(words) is not None
