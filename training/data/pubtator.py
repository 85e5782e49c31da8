"""PubTator files (``id|t|title``, ``id|a|abstract``, tab-separated mentions): the NCBI disease corpus."""

from __future__ import annotations

from pathlib import Path

from training.data.document import Document, GoldSpan, flatten
from training.data.labels import NCBI


def read_ncbi(path: Path) -> list[Document]:
    """One document an abstract: title, one space, abstract; offsets as the file gives them."""
    texts: dict[str, list[str]] = {}
    spans: dict[str, list[GoldSpan]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        head = line.split("|", 2)
        if len(head) == 3 and head[1] in ("t", "a") and head[0].isdigit():
            texts.setdefault(head[0], []).append(head[2])
            continue
        cells = line.split("\t")
        if len(cells) >= 5 and cells[4] in NCBI:
            spans.setdefault(cells[0], []).append(GoldSpan(int(cells[1]), int(cells[2]), NCBI[cells[4]]))
    types = frozenset(name for names in NCBI.values() for name in names)
    return [Document(f"ncbi-{key}", " ".join(parts), flatten(spans.get(key, [])), types) for key, parts in texts.items()]
