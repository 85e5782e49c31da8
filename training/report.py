"""The report of a run: recipe, loss curve, scores, parity and gate on one Markdown page beside the checkpoint, the curve as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import msgspec

from training.curve import CURVE, curve_of, machine_of
from training.recipe import Recipe

REPORT = "report.md"
CURVE_PICTURE = "curve.svg"

mpl.use("svg")
# Element ids are drawn at random otherwise, and the same run would give another file.
mpl.rcParams["svg.hashsalt"] = "wardstream"


def draw_curve(folder: Path, title: str) -> None:
    """Write ``curve.svg``: smoothed loss over steps."""
    from matplotlib import pyplot

    rows = curve_of(folder)
    figure, axes = pyplot.subplots(figsize=(7, 3))
    axes.plot([row["step"] for row in rows], [row["loss"] for row in rows])
    axes.set(title=title, xlabel="step", ylabel="loss", ylim=(0, None))
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(folder / CURVE_PICTURE, metadata={"Date": None})
    pyplot.close(figure)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with four places."""

    def cell(value: object) -> str:
        return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value).replace("|", r"\|")

    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def scores_table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """One row a set, one column a figure."""
    names = list(dict.fromkeys(name for figures in scores.values() for name in figures))
    return table(["set", *names], [[key, *(figures.get(name, "") for name in names)] for key, figures in scores.items()])


def write_report(recipe: Recipe, sections: Mapping[str, str]) -> Path:
    """Write ``report.md`` beside the checkpoint. ``sections`` maps headings to Markdown; a curve is drawn where the run has one."""
    folder = recipe.checkpoint
    lines = [f"# {recipe.name}", "", f"Recipe digest `{recipe.digest[:16]}`.", ""]
    if (folder / CURVE).exists():
        draw_curve(folder, recipe.name)
        last = curve_of(folder)[-1]
        lines += [
            f"![loss]({CURVE_PICTURE})",
            "",
            f"{last['step']} steps in {last['seconds']} s, smoothed loss {last['loss']}. "
            + ", ".join(f"{name} {value}" for name, value in machine_of(folder).items()),
            "",
        ]
    for heading, body in sections.items():
        lines += [f"## {heading}", "", body, ""]
    lines += ["## Recipe", "", "```json", msgspec.json.format(msgspec.json.encode(recipe), indent=1).decode(), "```", ""]
    path = folder / REPORT
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
