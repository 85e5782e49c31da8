"""Model bundles: a folder ``models/shelf/<name>/<version>/`` whose signed manifest gives the SHA-256 of every file.

A bundle holds ``model.onnx`` (int8, for CPUs; for generation ``encoder.onnx`` and ``decoder.onnx``), ``tokenizer.json``,
``manifest.json`` with its detached signature ``manifest.sig``, ``MODEL_CARD.md``, ``golden.json`` and, in bundles for
accelerators, ``model.fp16.onnx``. Nothing is loaded before every byte has been verified and every operator is known.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final, Literal

import msgspec

from models.operators import refuse_strange_operators
from models.signature import KEYS, SIGNATURE, verify
from schemas.errors import ConfigurationError

SHELF: Final = Path(__file__).parent / "shelf"
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
MODEL_FP16: Final = "model.fp16.onnx"
ENCODER: Final = "encoder.onnx"
DECODER: Final = "decoder.onnx"
TOKENIZER: Final = "tokenizer.json"
FORMAT: Final = 2
#: What ``models.encoder`` can feed, and how long a window may be (Longformer).
INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids", "numbers", "numbers_mask"})
MOST_WINDOW_TOKENS: Final = 4096
Task = Literal["token-classification", "text-classification", "text-generation", "text-embedding"]
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


class NumberInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measured value that a model takes beside the text: its code (LOINC), UCUM unit, and how it is standardised.

    Values outside ``low`` to ``high`` are treated as missing: they are no measurement of a living patient.
    """

    name: str
    unit: str
    mean: float
    std: float
    low: float
    high: float


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that serving needs to know about a bundle.

    Args:
        family: architecture, for people; task: which class of ``models`` serves it.
        labels: the network's outputs in order. Token classification has BIO labels: ``1 + 2k`` begins ``entity_types[k]``.
        multi_label: text classes that do not exclude each other.
        numbers: measured values beside the text, in order; max_new_tokens: longest output of generation, in pieces.
        temperature: logits are divided by it before they become probabilities.
        window_tokens: pieces a window, the two special tokens included; window_overlap: pieces that neighbours share.
        lower_case: whether the tokenizer lower-cases (letter shapes then go in as token types).
        thresholds: least probability at which a span or a class counts, by type or label, 0 to 1; 0.5 where absent.
        inputs, outputs: tensor names of the graph.
        files: every file of the bundle but the manifest itself.
        scores: measured figures by data set; data: sources; tools: versions that made it.
        attributes: the source attributes of 45 CFR 170.315(b)(11)(iv)(B), by name; gate: why it was let through.
    """

    format: int
    name: str
    version: str
    family: str
    task: Task
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
    multi_label: bool = False
    numbers: tuple[NumberInput, ...] = ()
    max_new_tokens: int = 0
    temperature: float = 1.0
    attributes: dict[str, str] = {}
    gate: dict[str, str] = {}

    @property
    def model_sha256(self) -> str:
        """Digest of the int8 graph, or over those of encoder and decoder: part of the version that every result carries."""
        if MODEL in self.files:
            return self.files[MODEL].sha256
        return hashlib.sha256((self.files[ENCODER].sha256 + self.files[DECODER].sha256).encode()).hexdigest()

    @property
    def label(self) -> str:
        """``name@version#`` and the first 12 digits of the model's SHA-256: what every result carries."""
        return f"{self.name}@{self.version}#{self.model_sha256[:12]}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_manifest(path: Path, *, trusted_keys: Path = KEYS) -> Manifest:
    """Read and verify the bundle in folder ``path``.

    Args:
        trusted_keys: folder of the public keys whose signature is accepted.

    Raises:
        ConfigurationError: the signature is missing, wrong, or of a key that is not trusted; a file is missing, changed, a symbolic
            link, too large, or not in the manifest; a graph holds an operator that is not allowed; the manifest is unreadable or
            contradicts itself. ``path`` of the error names the file.
    """
    manifest_path = path / MANIFEST
    _regular(manifest_path)
    content = manifest_path.read_bytes()
    _regular(path / SIGNATURE)
    verify(content, path / SIGNATURE, trusted_keys)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise ConfigurationError(path=str(manifest_path), detail="unreadable manifest") from error
    _consistent(manifest, manifest_path)
    for name, entry in manifest.files.items():
        if "/" in name or "\\" in name or name.startswith("."):
            raise ConfigurationError(path=str(manifest_path), detail="file names are plain names")
        file = path / name
        _regular(file)
        stored = file.read_bytes()
        if len(stored) != entry.bytes or hashlib.sha256(stored).hexdigest() != entry.sha256:
            raise ConfigurationError(path=str(file), detail="content differs from the manifest's SHA-256")
        if name.endswith(".onnx"):
            refuse_strange_operators(file, stored)
    strangers = {p.name for p in path.iterdir()} - set(manifest.files) - {MANIFEST, SIGNATURE}
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
    tags = ("O", *(f"{prefix}-{name}" for name in manifest.entity_types for prefix in "BI"))
    tokens, writes = manifest.task == "token-classification", manifest.task == "text-generation"
    graphs = {ENCODER, DECODER} if writes else {MODEL}
    named = manifest.entity_types if tokens else manifest.labels
    problems = {
        "format of another version": manifest.format != FORMAT,
        "labels do not follow from entity_types": tokens and manifest.labels != tags,
        "a classifier without labels": manifest.task == "text-classification" and not manifest.labels,
        "files lack a graph or the tokenizer": not graphs | {TOKENIZER} <= set(manifest.files),
        "inputs that nothing feeds, or numbers without their description": not set(manifest.inputs) <= INPUTS
        or ("numbers" in manifest.inputs) != bool(manifest.numbers),
        "window_tokens must be 8 to 4096": not 8 <= manifest.window_tokens <= MOST_WINDOW_TOKENS,
        "window_overlap must be even and less than half of the window": manifest.window_overlap % 2 != 0
        or not 0 <= manifest.window_overlap < (manifest.window_tokens - 2) / 2,
        "thresholds name unknown types or leave 0 to 1": any(
            name not in named or not 0 < value <= 1 for name, value in manifest.thresholds.items()
        ),
        "temperature and deviations must be positive": manifest.temperature <= 0 or any(n.std <= 0 for n in manifest.numbers),
        "generation needs max_new_tokens, 1 to 1024": writes and not 1 <= manifest.max_new_tokens <= 1024,
    }
    for detail, wrong in problems.items():
        if wrong:
            raise ConfigurationError(path=str(path), detail=detail)


def shelf_bundle(name: str, shelf: Path = SHELF, *, but: str = "") -> Path:
    """Folder of the newest version of ``name`` on the shelf (versions are dotted numbers), ``but`` one.

    Raises:
        ConfigurationError: there is none.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(path=str(shelf), detail="bundle names are lower-case letters, digits, dots and hyphens")
    versions = [
        p for p in (shelf / name).glob("*") if p.is_dir() and p.name != but and all(part.isdigit() for part in p.name.split("."))
    ]
    if not versions:
        raise ConfigurationError(path=str(shelf / name), detail="no such bundle on the shelf")
    return max(versions, key=lambda p: tuple(int(part) for part in p.name.split(".")))


def refuse_other_task(folder: Path, manifest: Manifest, task: Task) -> None:
    """Raise ConfigurationError unless the bundle is for ``task``."""
    if manifest.task != task:
        raise ConfigurationError(
            path=str(folder / MANIFEST), detail=f"a bundle for {manifest.task}, where one for {task} is needed"
        )
