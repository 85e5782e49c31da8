"""Recipes: one TOML file says everything that a step of the factory depends on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from training.data.labels import ENTITY_TYPES, PHI_TYPES


class Distil(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a student learns from its teachers.

    Args:
        teachers: checkpoint names; the logits of several are averaged.
        labels, logits, hidden: weights of the gold loss, of KL at ``temperature``, and of the squared distance of the last hidden
            states (0 where widths differ or several teachers speak).
        unlabelled: how often the free texts are seen in an epoch; only the teachers speak there.
        windows: pieces that each teacher sees at a time (128 where not said): those that it was trained on, whatever the student's.
    """

    teachers: tuple[str, ...]
    labels: float = 0.3
    logits: float = 0.7
    hidden: float = 0.1
    temperature: float = 2.0
    unlabelled: float = 0.6
    windows: tuple[int, ...] = ()

    def window_of(self, number: int) -> int:
        """Window of the teacher in that place."""
        return self.windows[number] if number < len(self.windows) else 128


class Prune(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes, as shares of what is there (0 to 1): attention heads and feed-forward width; word pieces seen fewer than
    ``vocabulary_least`` times in the training texts (0 keeps all)."""

    heads: float = 0.0
    feed_forward: float = 0.0
    vocabulary_least: int = 0


class Annotated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A site's own annotated texts, added to the task's corpora.

    Args:
        path: file or folder; of a ``store`` its fsspec address.
        format: ``iob``, ``pubtator``, ``brat``, ``label-studio``, ``doccano``, ``reviewed`` or ``store`` (``training.label_store.store``: the last verdict on
            each sample).
        labels: TOML file of label maps, and ``corpus``: which of them; empty for labels that are the product's own types.
        store: of ``reviewed``: the store that holds these labels too, and is told of the bundle that learned from them.
    """

    path: str
    format: Literal["iob", "pubtator", "brat", "label-studio", "doccano", "reviewed", "store"]
    labels: str = ""
    corpus: str = "own"
    store: str = ""


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One checkpoint and how it is made.

    Args:
        name: names the checkpoint folder ``<out>/<name>``.
        task: ``pretraining``, ``entities``, ``phi``, ``flags``, ``messages``, ``vitals``, ``explanations`` or ``names``.
        note: one line for the table of models.
        family: ``bert``, ``roberta``, ``distilbert``, ``xlnet``, ``t5`` or ``longformer``.
        start: checkpoint to start from: a name under ``out``, or a folder; empty for the encoder that ships as a Python package.
        layers: encoder layers kept from the start, in order; empty keeps all.
        sizes: dimensions of families that start from nothing (``d_model``, ``n_layer`` ...); ``dimensions`` of the vectors of ``names``.
        names: file of concepts and their names (``wardstream vocab names``) that the task ``names`` learns from.
        epochs, learning_rate, batch_tokens, seed, dropout, weight_decay: as usual; the rate warms up over 6 % and then falls linearly.
        lengths: row lengths in pieces; a text goes into the shortest that holds it, and is cut by the longest.
        repeats: how often each corpus is seen in an epoch (fractions allowed; 0 leaves it out).
        documents: how many texts the generators make; of ``names``, how many names at most are looked for when it is evaluated.
        corpora: whether the task's public corpora are learned from and scored on; without them the texts of ``annotated`` alone (token tasks).
        annotated: further annotated texts by a name of yours; ``repeats`` knows them by it.
        development: annotated texts that ``evaluate`` scores on, beside the corpora's, by a name of yours; no text of ``annotated``.
        recase_share: share of documents turned to capitals, and again to small letters.
        replaced_share: share of the mentions that give way to other names in a second copy of BC5CDR, NCBI and MACCROBAT; ``repeats``
            knows the copies by ``<corpus>-replaced``. 0 makes none.
        auxiliary: further heads on the same encoder, trained along and dropped afterwards: task name -> share of the batches.
        precision: ``bf16`` (autocast; on CPUs too), ``fp16`` (GPU) or ``no``.
        compile: on CPUs, compile the encoder first (a minute; then a third faster).
        save_every: steps between states from which an interrupted run goes on; 0 for none.
        keep_float: matrix products that stay in float32 when quantized, by a part of their name in the graph.
        bundle, window_tokens, window_overlap, thresholds, temperature, max_new_tokens: go into the bundle's manifest.
    """

    name: str
    task: str
    seed: int
    note: str = ""
    family: str = "bert"
    start: str = ""
    layers: tuple[int, ...] = ()
    sizes: dict[str, int] = {}
    names: str = ""
    epochs: float = 1.0
    learning_rate: float = 2e-4
    batch_tokens: int = 2048
    dropout: float = 0.1
    weight_decay: float = 0.01
    lengths: tuple[int, ...] = (32, 64, 128)
    repeats: dict[str, float] = {}
    documents: int = 2000
    corpora: bool = True
    annotated: dict[str, Annotated] = {}
    development: dict[str, Annotated] = {}
    recase_share: float = 0.08
    replaced_share: float = 0.0
    auxiliary: dict[str, float] = {}
    distil: Distil | None = None
    prune: Prune | None = None
    precision: str = "bf16"
    compile: bool = False
    save_every: int = 0
    keep_float: tuple[str, ...] = ()
    bundle: str = ""
    window_tokens: int = 128
    window_overlap: int = 24
    thresholds: dict[str, float] = {}
    temperature: float = 1.0
    max_new_tokens: int = 0
    out: str = "out/training"

    @property
    def types(self) -> tuple[str, ...]:
        """The label types of a token task, in order."""
        return {"entities": ENTITY_TYPES, "phi": PHI_TYPES}[self.task]

    @property
    def checkpoint(self) -> Path:
        """Folder of the result."""
        return Path(self.out) / self.name

    def folder_of(self, start: str) -> Path:
        """Folder of another checkpoint: as given when it is a path, else a name under ``out``."""
        return Path(start) if "/" in start else Path(self.out) / start

    @property
    def digest(self) -> str:
        """SHA-256 over all fields: a run goes on only under the recipe that it began with."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def load_recipe(path: Path) -> Recipe:
    """Read a recipe (TOML, or JSON by its suffix); unknown or ill-typed fields are refused by ``msgspec.ValidationError``."""
    decode = msgspec.json.decode if path.suffix == ".json" else msgspec.toml.decode
    return decode(path.read_bytes(), type=Recipe)
