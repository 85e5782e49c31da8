"""Model bundles: a folder ``models/shelf/<name>/<version>/`` whose manifest gives the SHA-256 of every file.

A bundle holds ``model.onnx`` (int8, for CPUs), ``tokenizer.json``, ``manifest.json``, ``MODEL_CARD.md``, ``golden.json`` and,
in bundles for accelerators, ``model.fp16.onnx``. Nothing is loaded before every byte has been verified.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import ConfigurationError

SHELF: Final = Path(__file__).parent / "shelf"
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
MODEL_FP16: Final = "model.fp16.onnx"
TOKENIZER: Final = "tokenizer.json"
FORMAT: Final = 1
MAX_FILE_BYTES: Final = 512 * 1024 * 1024
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Digest and size of one file of the bundle."""

    sha256: str
    bytes: int


class DataSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model was made from: SHA-256 over the source's files, licence, whom to credit."""

    name: str
    digest: str
    licence: str
    credit: str = ""
    use: str = "training"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that serving needs to know about a bundle.

    Args:
        labels: BIO labels in the order of the network's outputs; label ``1 + 2k`` begins ``entity_types[k]``.
        window_tokens: pieces a window, the two special tokens included; window_overlap: pieces that neighbours share.
        lower_case: whether the tokenizer lower-cases (letter shapes then go in as token types).
        thresholds: least mean word probability at which a span counts, by type, 0 to 1; 0.5 where absent.
        inputs, outputs: tensor names of the graph.
        files: every file of the bundle but the manifest itself.
        scores: measured figures by data set; data: sources; tools: versions that made it.
    """

    format: int
    name: str
    version: str
    task: str
    labels: tuple[str, ...]
    entity_types: tuple[str, ...]
    window_tokens: int
    window_overlap: int
    lower_case: bool
    thresholds: dict[str, float]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    files: dict[str, FileEntry]
    data: tuple[DataSource, ...]
    tools: dict[str, str]
    scores: dict[str, dict[str, float]]
    seed: int

    @property
    def model_sha256(self) -> str:
        """Digest of the int8 graph: part of the version that every mention carries."""
        return self.files[MODEL].sha256


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_manifest(path: Path) -> Manifest:
    """Read and verify the bundle in folder ``path``.

    Raises:
        ConfigurationError: a file is missing, changed, a symbolic link, too large, or not in the manifest; the manifest is
            unreadable or contradicts itself. ``path`` of the error names the file.
    """
    manifest_path = path / MANIFEST
    _regular(manifest_path)
    try:
        manifest = msgspec.json.decode(manifest_path.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, OSError) as error:
        raise ConfigurationError(path=str(manifest_path), detail="unreadable manifest") from error
    _consistent(manifest, manifest_path)
    for name, entry in manifest.files.items():
        if "/" in name or "\\" in name or name.startswith("."):
            raise ConfigurationError(path=str(manifest_path), detail="file names are plain names")
        file = path / name
        _regular(file)
        if file.stat().st_size != entry.bytes or sha256_of(file) != entry.sha256:
            raise ConfigurationError(path=str(file), detail="content differs from the manifest's SHA-256")
    strangers = {p.name for p in path.iterdir()} - set(manifest.files) - {MANIFEST}
    if strangers:
        raise ConfigurationError(path=str(path / min(strangers)), detail="not in the manifest")
    return manifest


def _regular(file: Path) -> None:
    # Hard links are not refused: some checkouts and caches make them, and the digest already pins the content.
    if file.is_symlink() or not file.is_file():
        raise ConfigurationError(path=str(file), detail="missing, or not a regular file")
    if file.stat().st_size > MAX_FILE_BYTES:
        raise ConfigurationError(path=str(file), detail="larger than a bundle's file may be")


def _consistent(manifest: Manifest, path: Path) -> None:
    expected = ("O", *(f"{prefix}-{name}" for name in manifest.entity_types for prefix in "BI"))
    problems = {
        "format of another version": manifest.format != FORMAT,
        "task is not token-classification": manifest.task != "token-classification",
        "labels do not follow from entity_types": manifest.labels != expected,
        "files lack the model or the tokenizer": not {MODEL, TOKENIZER} <= set(manifest.files),
        "window_overlap must be even and less than half of the window": manifest.window_overlap % 2 != 0
        or not 0 <= manifest.window_overlap < (manifest.window_tokens - 2) / 2,
        "thresholds name unknown types or leave 0 to 1": any(
            name not in manifest.entity_types or not 0 < value <= 1 for name, value in manifest.thresholds.items()
        ),
    }
    for detail, wrong in problems.items():
        if wrong:
            raise ConfigurationError(path=str(path), detail=detail)


def shelf_bundle(name: str, shelf: Path = SHELF) -> Path:
    """Folder of the newest version of ``name`` on the shelf (versions are dotted numbers).

    Raises:
        ConfigurationError: there is none.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(path=str(shelf), detail="bundle names are lower-case letters, digits, dots and hyphens")
    versions = [p for p in (shelf / name).glob("*") if p.is_dir() and all(part.isdigit() for part in p.name.split("."))]
    if not versions:
        raise ConfigurationError(path=str(shelf / name), detail="no such bundle on the shelf")
    return max(versions, key=lambda p: tuple(int(part) for part in p.name.split(".")))
