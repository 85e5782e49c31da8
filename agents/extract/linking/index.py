"""The index file: one gzip of one MessagePack map, the same bytes for the same sources."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

from schemas.errors import ConfigurationError

FORMAT = 1
#: The index that ships, of free vocabularies; ``shipped.md`` beside it says of which. The setting names it "shipped".
SHIPPED = Path(__file__).with_name("shipped.index")
#: What a concept is for: which mentions may be linked to it.
Group = Literal["problem", "drug", "test", "procedure", "any"]
Code = tuple[str, str, str]
"""System URI, code, display."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One file that the index was built from; ``sha256`` of its bytes."""

    kind: str
    file: str
    sha256: str
    licence: str
    version: str
    terms: int


class Concept(msgspec.Struct, frozen=True, array_like=True):
    """``codes`` mean the same thing, the first is the concept's own; ``further`` are codes that it is filed under elsewhere."""

    group: Group
    codes: tuple[Code, ...]
    further: tuple[Code, ...] = ()


class Vectors(msgspec.Struct, frozen=True, array_like=True):
    """Names as vectors: ``rows`` names x ``dimensions`` of int8 (unit vectors times 127), ``concepts`` the concept of each (uint32,
    little-endian); ``encoder`` is the version of the model that made them."""

    encoder: str
    dimensions: int
    concepts: bytes
    rows: bytes


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """``exact``: folded name -> concepts, those that it is the display of first; ``normal``: normal form -> concepts."""

    format: int
    sources: tuple[Source, ...]
    concepts: tuple[Concept, ...]
    exact: dict[str, tuple[int, ...]]
    normal: dict[str, tuple[int, ...]]
    vectors: Vectors | None = None

    @property
    def names(self) -> int:
        return len(self.exact)


def names_of(index: Index, group: Group) -> list[tuple[int, str]]:
    """Concepts of ``group`` (their number) with their folded names, in order; a name goes with the first of its concepts only, concepts
    of one name are left out. What an encoder of names learns from."""
    rows = sorted((ids[0], name) for name, ids in index.exact.items() if index.concepts[ids[0]].group == group)
    count = Counter(at for at, _ in rows)
    return [(at, name) for at, name in rows if count[at] > 1]


def encode(index: Index) -> bytes:
    """Deterministic: equal indexes are equal bytes."""
    return gzip.compress(msgspec.msgpack.encode(index, order="deterministic"), compresslevel=9, mtime=0)


def read(path: Path) -> tuple[Index, str]:
    """The index and its version (first twelve digits of its SHA-256); "shipped" is the one that ships. Raises ConfigurationError: no file, or no index of this format."""
    path = SHIPPED if path == Path("shipped") else path
    try:
        raw = path.read_bytes()
        index = msgspec.msgpack.decode(gzip.decompress(raw), type=Index)
    except OSError:
        raise ConfigurationError(path=str(path), detail="the vocabulary index cannot be read") from None
    except (EOFError, zlib.error, msgspec.MsgspecError):
        raise ConfigurationError(path=str(path), detail="not a vocabulary index") from None
    if index.format != FORMAT:
        raise ConfigurationError(path=str(path), detail="a vocabulary index of another format; build it again")
    return index, hashlib.sha256(raw).hexdigest()[:12]
