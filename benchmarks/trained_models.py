"""The table of models: what each scored, against what was asked, with its interval; and what each technique gained or cost.

    python -m benchmarks.trained_models record RECIPE...   # take the figures of evaluated checkpoints into results/trained_models.json
    python -m benchmarks.trained_models page               # write the tables of the two pages on models anew from results/trained_models.json

Figures are of development parts, through the serving code. Training wall time and the loss curve lie beside each checkpoint.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from models.bundle import DECODER, ENCODER, MODEL
from training.curve import CURVE, curve_of, machine_of
from training.export import PARITY
from training.recipe import Recipe, load_recipe
from training.report import table
from training.steps.evaluate import SCORES

RESULTS = Path(__file__).with_name("results") / "trained_models.json"
DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- tables: python -m benchmarks.trained_models page -->", "<!-- end of tables -->"


def recorded() -> dict[str, Any]:
    """What results/trained_models.json holds: checkpoint name -> figures."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return found


def figures_of(recipe: Recipe) -> dict[str, Any]:
    """Everything that is known of one evaluated checkpoint."""
    folder = recipe.checkpoint
    scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    last = curve_of(folder)[-1] if (folder / CURVE).exists() else {}
    graphs = [path for path in (folder / name for name in (MODEL, ENCODER, DECODER)) if path.exists()]
    return {
        "task": recipe.task,
        "family": recipe.family,
        "note": recipe.note,
        "bundle": recipe.bundle,
        "steps": last.get("step"),
        "train_seconds": last.get("seconds"),
        "trained_on": machine_of(folder).get("device", "CPU, threads: 1") if last else None,
        "int8_bytes": sum(p.stat().st_size for p in graphs) or None,
        "scores": scores,
        "parity": _parity_of(folder),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def _parity_of(folder: Path) -> dict[str, list[str]]:
    """Rows of the parity report by graph: largest relative difference from PyTorch, share of equal labels, size."""
    page = folder / PARITY
    lines = page.read_text(encoding="utf-8").splitlines()[2:] if page.exists() else []
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    # A generator has one row for both of its graphs: float32 first, then int8.
    names = [row[0] if row[0] != "encoder and decoder" else ("onnx", "int8")[k] for k, row in enumerate(rows)]
    return {name: row[1:] for name, row in zip(names, rows, strict=True)}


_PHI, _ASSERTION = RESULTS.with_name("phi.json"), RESULTS.with_name("assertion.json")
#: What was asked of the development figures: checkpoint, set, figure, at least, aim, and who holds it.
GOALS: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("entities", "bc5cdr-all", "f1", ".845", ".885", "sciSpaCy .843; roberta-large .886"),
    ("entities", "ncbi-all", "f1", ".845", ".88", "DistilBioBERT .879"),
    ("entities", "maccrobat-all", "f1", "", "", "no comparable figure on this split"),
    ("entities", "phee-medication", "recall", "", "", "strict; PHEE marks only arguments of events"),
    ("entities", "phee-problem|finding", "recall", "", "", "strict"),
    ("entities", "speed", "notes_of_600_pieces_per_second", "12", "25", "one thread"),
    ("phi", "asq-phi-second-half", "recall_covered", ".986", ".995", "a cloud service .986; model alone"),
    ("phi", "asq-phi-second-half", "negatives_touched", ".40", ".15", "a cloud service .90; less is better"),
    ("phi", "presidio-research-second-half", "character_recall", "", "", "model alone"),
)


def _score(found: dict[str, Any], name: str, group: str, figure: str) -> float | None:
    value: float | None = found.get(name, {}).get("scores", {}).get("int8", {}).get(group, {}).get(figure)
    return value


def goals_table(found: dict[str, Any]) -> str:
    """Shipped models, with the rules around them where that was asked, against the figures asked for."""
    rows = []
    for name, group, figure, least, aim, peer in GOALS:
        value = _score(found, name, group, figure)
        if value is None:
            continue
        figures = found[name]["scores"]["int8"][group]
        interval = f" ({figures['f1_low']:.3f} to {figures['f1_high']:.3f})" if figure == "f1" and "f1_low" in figures else ""
        rows.append([group, figure.replace("_", " "), f"{value:.4f}".rstrip("0").rstrip(".") + interval, least, aim, peer])
    both = json.loads(_PHI.read_text(encoding="utf-8"))["model+rules"]["presidio-research-second-half"]["character_recall"]
    rows.append(
        ["presidio-research-second-half", "character recall", both, ".90", ".97", "model and rules; customised Presidio .84"]
    )
    said = json.loads(_ASSERTION.read_text(encoding="utf-8"))
    rows.append(["NegEx rows", "negated F1", said["random.negated"]["f1"], ".945", ".965", "medSpaCy .929, NegEx .931"])
    rows.append(["NegEx rows", "historical F1", said["random.historical"]["f1"], ".75", ".85", "medSpaCy .63"])
    return table(["set", "figure", "reached", "at least", "aim", "peers"], rows)


def student_table(found: dict[str, Any]) -> str:
    """The entity models by size: what the smaller and faster ones cost against their best teacher."""
    teacher, rows = "entities-teacher", []
    for name in (teacher, "entities", "entities-narrow", "entities-fast", "entities-small"):
        f1 = [_score(found, name, f"{corpus}-all", "f1") or _full(found, name, corpus, "f1") for corpus in _CORPORA]
        base = [_full(found, teacher, corpus, "f1") for corpus in _CORPORA]
        if all(value is not None for value in (*f1, *base)):
            cells = [f"{one:.4f} ({one - other:+.4f})" for one, other in zip(f1, base, strict=True) if one and other]
            speed = _score(found, name, "speed", "notes_of_600_pieces_per_second") or ""
            rows.append([name, found[name]["note"], *cells, speed])
    return table(["checkpoint", "what it is", *_CORPORA, "notes of 600 pieces/s"], rows)


def family_table(found: dict[str, Any]) -> str:
    """One row a trained checkpoint that is no study: what it is, what it scores on its sets, int8 and (float32)."""
    rows = []
    for name, one in found.items():
        if name.startswith("study-"):
            continue
        int8, full = one["scores"].get("int8", {}), _full_scores(one)
        sets = [key for key, figures in int8.items() if key.endswith("-all") and "f1" in figures]
        best = "; ".join(
            f"{key.removesuffix('-all')} {int8[key]['f1']:.3f} ({full.get(key, {}).get('f1', float('nan')):.3f})" for key in sets
        ) or "; ".join(
            f"{key.removesuffix('-all')} ({figures['f1']:.3f})"
            for key, figures in full.items()
            if key.endswith("-all") and "f1" in figures
        )
        size = f"{one['int8_bytes'] / 1e6:.1f} MB" if one["int8_bytes"] else ""
        seconds = f"{one['train_seconds'] / 60:.0f} min, {one['trained_on']}" if one["train_seconds"] else ""
        speed = int8.get("speed", {}).get("notes_of_600_pieces_per_second", "")
        rows.append([name, one["family"], one["note"], best, size, speed, seconds])
    return table(
        ["checkpoint", "family", "what it is", "F1 int8 (float32)", "int8", "notes of 600 pieces/s, one thread", "training"], rows
    )


def parity_table(found: dict[str, Any]) -> str:
    """One row an exported model: largest relative difference of its graphs' logits from PyTorch's on random pieces, labels that agree."""
    graphs = ("onnx", "optimized", "fp16", "int8")
    rows = [
        [name, *(" · ".join(one["parity"][graph][:2]) if graph in one["parity"] else "" for graph in graphs)]
        for name, one in found.items()
        if "int8" in one.get("parity", {})
    ]
    return table(["checkpoint", *graphs], rows)


#: What a technique gained or cost: the technique, the checkpoint without it, the checkpoint with it.
TECHNIQUES: tuple[tuple[str, str, str], ...] = (
    ("continued pretraining", "entities-teacher-plain", "entities-teacher"),
    ("mention replacement", "entities-teacher-names", "entities-teacher"),
    ("windows of 256 instead of 128", "entities-teacher-short", "entities-teacher"),
    ("another seed", "entities-teacher", "entities-teacher-again"),
    ("identifiers as a second head (multi-task), 3 layers", "study-all-corpora", "study-multi-task"),
    ("distillation from the Longformer, 3 layers, against labels alone", "study-all-corpora", "study-with-teacher"),
    ("distillation from five teachers", "entities-teacher", "entities"),
    ("a third of heads and half the width pruned, nothing trained after", "entities-teacher", "entities-pruned"),
    ("a third of heads and half the width pruned, then distilled", "entities", "entities-narrow"),
    ("4 layers instead of 6, pruned alike", "entities-narrow", "entities-fast"),
    ("3 layers instead of 6, full width", "entities", "entities-small"),
    ("the whole way at the size of a CPU: three teachers, fewer epochs", "entities", "cpu-entities"),
    ("word pieces seen less than three times dropped", "entities", "study-vocabulary"),
)
_CORPORA = ("bc5cdr", "ncbi", "maccrobat")


def _full(found: dict[str, Any], name: str, corpus: str, figure: str) -> float | None:
    """A figure at full precision."""
    value: float | None = _full_scores(found.get(name, {"scores": {}})).get(f"{corpus}-all", {}).get(figure)
    return value


def _full_scores(one: dict[str, Any]) -> dict[str, Any]:
    """Of the float32 graph, or of the checkpoint where it was not exported."""
    scores: dict[str, Any] = one["scores"].get("onnx") or one["scores"].get("pytorch", {})
    return scores


def technique_table(found: dict[str, Any]) -> str:
    """One row a technique: strict F1 with it and the difference from the checkpoint without it, float32; int8 in the last row."""
    rows = []
    for what, before, after in TECHNIQUES:
        pairs = [(_full(found, before, corpus, "f1"), _full(found, after, corpus, "f1")) for corpus in _CORPORA]
        if all(a is not None and b is not None for a, b in pairs):
            rows.append([what, *(f"{b:.4f} ({b - a:+.4f})" for a, b in pairs if a is not None and b is not None)])
    if "entities" in found:
        pairs = [(_full(found, "entities", c, "f1"), _score(found, "entities", f"{c}-all", "f1")) for c in _CORPORA]
        rows.append(
            ["int8 of the shipped model", *(f"{b:.4f} ({b - a:+.4f})" for a, b in pairs if a is not None and b is not None)]
        )
    return table(["technique", *_CORPORA], rows)


def left_out_table(found: dict[str, Any]) -> str:
    """One row a corpus: how the model does on it when it was trained on it, and when it never saw it."""
    rows = []
    for corpus, figure in (("bc5cdr", "f1"), ("ncbi", "f1"), ("maccrobat", "f1"), ("phee", "recall")):
        seen, unseen = "study-all-corpora", f"study-without-{corpus}"
        values = [_full(found, name, corpus, key) for key in (figure, "touched") for name in (seen, unseen)]
        rows.append([corpus, "F1" if figure == "f1" else "recall", *("" if v is None else f"{v:.3f}" for v in values)])
    return table(["corpus", "strict", "trained on", "left out", "mentions touched, trained on", "left out"], rows)


def tables(found: dict[str, Any]) -> str:
    """The tables of the reference page, as Markdown."""
    parts = {
        "Against what was asked": goals_table(found),
        "Teacher and students": student_table(found),
        "Every trained checkpoint": family_table(found),
        "Parity with PyTorch on random pieces: largest relative difference of logits, labels that agree": parity_table(found),
    }
    return "\n\n".join(f"### {heading}\n\n{body}" for heading, body in parts.items())


def main(arguments: list[str]) -> None:
    """Record or render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record")
    record.add_argument("recipes", nargs="+", type=Path)
    commands.add_parser("page")
    given = parser.parse_args(arguments)
    if given.command == "record":
        found = recorded()
        for path in given.recipes:
            recipe = load_recipe(path)
            found[recipe.name] = figures_of(recipe)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    else:
        found = recorded()
        _write(DOCS / "reference" / "models.md", tables(found))
        explained = [
            "### Techniques",
            "",
            technique_table(found),
            "",
            "### Corpora that were not seen",
            "",
            left_out_table(found),
        ]
        _write(DOCS / "explanation" / "models.md", "\n".join(explained))


def _write(page: Path, made: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
