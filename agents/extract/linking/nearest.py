"""The stored name whose vector lies nearest to a mention's: what names mean rather than how they are spelt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agents.extract.linking.index import Index, Vectors
from schemas.errors import ConfigurationError

FloatArray = npt.NDArray[np.float32]
#: Least cosine of a nearest name. With it 65 % of such links are right on NCBI's development part, 28 % on BC5CDR's sample (``python -m
#: benchmarks.linking --encoder``): their score is below the default threshold.
LEAST = 0.8
#: Stored names that are compared at a time: their vectors are unpacked to float32 then.
_ROWS = 16_384
_SCALE = 127.0


class Vectorizer(Protocol):
    """``models.embedder.Embedder``, or another that turns texts into unit vectors."""

    @property
    def version(self) -> str:
        """What every result that rests on it carries."""

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors, texts x dimensions; of a text alone the same as in company."""


def vectors_of(index: Index, vectorizer: Vectorizer, group: str = "problem") -> Vectors:
    """The vectors of the names of ``group``'s concepts that more than a billing code stands for, in the order of the names."""
    rows = [
        (name, at)
        for name, ids in index.exact.items()
        if (at := next((at for at in ids if index.concepts[at].group == group and _is_named(index, at)), None)) is not None
    ]
    found = vectorizer.embed([name for name, _ in rows])
    packed = np.rint(found * _SCALE).astype(np.int8)
    return Vectors(vectorizer.version, found.shape[1], np.array([at for _, at in rows], dtype="<u4").tobytes(), packed.tobytes())


def _is_named(index: Index, at: int) -> bool:
    codes = index.concepts[at].codes
    return len({system for system, _, _ in codes}) > 1 or not codes[0][0].endswith("icd-10-cm")


class Nearest:
    """The vectors of an index, ready to be searched. Raises ConfigurationError: it has none, or they are of another encoder."""

    def __init__(self, index: Index, vectorizer: Vectorizer, least: float = LEAST) -> None:
        stored = index.vectors
        if stored is None or stored.encoder != vectorizer.version:
            raise ConfigurationError(
                path="vocabularies.encoder", detail="the index has no vectors of this encoder: build it with --encoder"
            )
        self._vectorizer, self._least = vectorizer, least
        self._concepts: npt.NDArray[Any] = np.frombuffer(stored.concepts, dtype="<u4")
        self._rows = np.frombuffer(stored.rows, dtype=np.int8).reshape(-1, stored.dimensions)

    def find(self, key: str) -> tuple[int, ...]:
        """The concept of the nearest name, none where no name is near enough; of equally near ones the first in the index."""
        asked = self._vectorizer.embed([key])[0]
        best, at = -1.0, -1
        for first in range(0, len(self._rows), _ROWS):
            near = (self._rows[first : first + _ROWS].astype(np.float32) @ asked) / _SCALE
            here = int(near.argmax())
            if near[here] > best:
                best, at = float(near[here]), first + here
        return (int(self._concepts[at]),) if best >= self._least else ()
