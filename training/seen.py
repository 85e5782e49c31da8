"""Which labels of a store a checkpoint has learned from, its start and its teachers included: kept beside it in ``seen.json``, so that an erasure
can name the models that saw a patient."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from schemas.labels import ReviewedLabel
from training.data.document import Document
from training.data.exports import reviewed_document, reviewed_labels
from training.data.own import read_annotated
from training.label_store.store import LabelStore
from training.recipe import Recipe

SEEN = "seen.json"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Of one store: its digest when it was last read, and the ids of the labels."""

    digest: str
    labels: tuple[str, ...]


def own_documents(recipe: Recipe) -> dict[str, list[Document]]:
    """A site's own texts by the recipe's name for them. What came from stores is noted beside the checkpoint.

    Of several reviewers of one sample in a store the last decision counts.

    Raises:
        DataError, ConfigurationError: a file or store is not what the recipe says. StoreUnavailable.
    """
    found = {
        name: [reviewed_document(label, Path(recipe.annotated[name].path), line) for line, label in rows]
        for name, rows in own_labels(recipe).items()
    }
    for name, one in recipe.annotated.items():
        if name not in found:
            found[name] = read_annotated(one.format, Path(one.path), one.labels, one.corpus)
    return found


def own_labels(recipe: Recipe) -> dict[str, list[tuple[int, ReviewedLabel]]]:
    """Those of the recipe's texts that are reviewed labels, by its name for them, each with its line (0 in a store); noted as ``own_documents``
    says, which also says what is raised."""
    found: dict[str, list[tuple[int, ReviewedLabel]]] = {}
    seen: dict[str, Seen] = {}
    for name, one in recipe.annotated.items():
        if one.format == "reviewed":
            found[name] = list(reviewed_labels(Path(one.path)))
            if one.store:
                ids = tuple(sorted(label.id for _, label in found[name]))
                seen[one.store] = Seen(digest=LabelStore(one.store).manifest().digest, labels=ids)
        elif one.format == "store":
            store = LabelStore(one.path)
            manifest = store.manifest()
            last = {label.sample: label for label in store.labels(manifest)}
            found[name] = [(0, label) for label in last.values()]
            seen[one.path] = Seen(digest=manifest.digest, labels=tuple(sorted(label.id for label in last.values())))
    if seen:
        _write(recipe, seen)
    else:  # of a run before this one, under another recipe
        (recipe.checkpoint / SEEN).unlink(missing_ok=True)
    return found


def inherit(recipe: Recipe) -> None:
    """Add what the start and the teachers have seen to what the checkpoint itself has."""
    sources = [recipe.folder_of(recipe.start)] if recipe.start else []
    sources += [recipe.folder_of(name) for name in recipe.distil.teachers] if recipe.distil is not None else []
    found = seen_by(recipe.checkpoint)
    for source in sources:
        for address, other in seen_by(source).items():
            mine = found.get(address, other)
            found[address] = Seen(digest=mine.digest, labels=tuple(sorted({*mine.labels, *other.labels})))
    if found:
        _write(recipe, found)


def seen_by(checkpoint: Path) -> dict[str, Seen]:
    """By address of the store; nothing for a checkpoint that saw no store."""
    path = checkpoint / SEEN
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Seen]) if path.exists() else {}


def record(checkpoint: Path, bundle: str, *, name: str, version: str, time: str) -> None:
    """Tell every store that the checkpoint has seen of the bundle made from it (its digest). Raises StoreUnavailable."""
    for address, one in seen_by(checkpoint).items():
        LabelStore(address).record_training(bundle, one.labels, name=name, version=version, time=time, digest=one.digest)


def _write(recipe: Recipe, seen: dict[str, Seen]) -> None:
    recipe.checkpoint.mkdir(parents=True, exist_ok=True)
    own = recipe.checkpoint / f"{SEEN}.{os.getpid()}"  # several processes write the same file: each puts it there whole
    own.write_bytes(msgspec.json.encode(seen, order="sorted"))
    own.replace(recipe.checkpoint / SEEN)
