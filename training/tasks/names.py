"""Names of concepts to vectors: which names are trained on, which are kept apart, and how often a name finds its concept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from training.data.corpora import Source
from training.gate import Scores

#: The file of names is all; the manifest has its digest.
SOURCES: Final[tuple[Source, ...]] = ()
#: One name in so many, of concepts with three names and more, is never trained on: by the digest of the name, so always the same ones.
_KEPT_APART: Final = 40
Names = tuple[str, ...]


def read(path: Path) -> list[Names]:
    """Concepts of a file of ``concept<TAB>name`` rows, each with its names in the file's order.

    Raises:
        ValueError: a row has other than two cells.
    """
    found: dict[str, dict[str, None]] = {}
    for line in path.read_text("utf-8").splitlines():
        concept, name = line.split("\t")
        found.setdefault(concept, {})[name] = None
    return [tuple(names) for names in found.values()]


def kept_apart(name: str) -> bool:
    """Whether a name is for development."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % _KEPT_APART == 0


def training(concepts: Sequence[Names]) -> list[Names]:
    """Concepts of two names and more, without the names for development."""
    found = (tuple(n for n in names if len(names) < 3 or not kept_apart(n)) for names in concepts)
    return [names for names in found if len(names) > 1]


def scores(embed: Callable[[Sequence[str]], npt.NDArray[np.float32]], concepts: Sequence[Names], most: int) -> Scores:
    """Share of names for development whose nearest other name is one of their concept: ``f1`` (one answer for each name, so that it is
    recall and precision too).

    Args:
        embed: unit vectors of names.
        most: how many names at most are looked for; and eight times as many concepts' names are what they are looked for among.
    """
    usable = [names for names in concepts if len(names) > 2]
    asked = [(at, name) for at, names in enumerate(usable) for name in names if kept_apart(name)][:most]
    known = {at for at, _ in asked}
    others = [at for at in range(len(usable)) if at not in known][: 8 * most]
    stored = [(at, name) for at in (*sorted(known), *others) for name in usable[at] if not kept_apart(name)]
    if not asked or not stored:
        return {}
    nearest = (embed([name for _, name in asked]) @ embed([name for _, name in stored]).T).argmax(1)
    right = float(np.mean([stored[near][0] == at for near, (at, _) in zip(nearest.tolist(), asked, strict=True)]))
    return {"names-all": {"f1": round(right, 4), "recall": round(right, 4), "precision": round(right, 4), "support": len(asked)}}
