"""The model card: what it is for, what it was made from, what it scores, what it does not do, and the 31 source attributes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from models.bundle import Manifest
from training.report import scores_table, table

CARDS = Path(__file__).parent / "cards"


def texts_of(bundle: str) -> dict[str, Any]:
    """What a bundle's own file says: ``use``, ``limits``, ``golden`` texts, and the attributes that differ."""
    return tomllib.loads((CARDS / f"{bundle}.toml").read_text(encoding="utf-8"))


def attributes_of(bundle: str) -> dict[str, dict[str, str]]:
    """The source attributes of 45 CFR 170.315(b)(11)(iv)(B) by group; a bundle's own replace those that hold for all.

    Raises:
        KeyError: the bundle's file names an attribute that does not exist.
    """
    groups: dict[str, dict[str, str]] = tomllib.loads((CARDS / "attributes.toml").read_text(encoding="utf-8"))
    for name, text in texts_of(bundle).get("attributes", {}).items():
        group = next((g for g in groups.values() if name in g), None)
        if group is None:
            raise KeyError(name)
        group[name] = text
    return groups


def card(manifest: Manifest, bundle: str) -> str:
    """Markdown for ``MODEL_CARD.md``. ``bundle`` names the file of texts: a site's bundle of another name uses one of ours."""
    texts = texts_of(bundle)
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        texts["use"],
        "",
        f"Limits: {texts['limits']}",
        "",
        "## Model",
        "",
        f"{manifest.family}, {manifest.task}, int8 (dynamic, signed, per channel), opset 17. Windows of {manifest.window_tokens} pieces.",
        f"{'Types: ' + ', '.join(manifest.entity_types) if manifest.entity_types else 'Labels: ' + ', '.join(manifest.labels)}.",
        f"Seed {manifest.seed}; " + ", ".join(f"{name} {number}" for name, number in manifest.tools.items()) + ".",
        f"Temperature {manifest.temperature:g}. Thresholds: "
        + (", ".join(f"{name} {value:g}" for name, value in manifest.thresholds.items()) or "0.5")
        + ".",
        "Energy: not measured; the machines that trained it do not tell.",
        "",
        "## Gate",
        "",
        *(f"- {name}: {value}" for name, value in manifest.gate.items()),
        "",
        "## Scores (int8, through the serving code; development parts, not official tests)",
        "",
        scores_table(manifest.scores),
        "",
        "Strict spans: start, end and type must agree. `problem|finding` counts either type. `phee` is recall alone: PHEE marks only the",
        "arguments of events. ASQ-PHI counts a value as covered when all its letters and digits are (titles aside) at every place.",
        "`f1_low` and `f1_high` bound the 95 % bootstrap interval over documents; `support` counts gold mentions.",
        "",
        "## Data",
        "",
        table(
            ["source", "licence", "credit", "SHA-256 of the files"],
            [[d.name, d.licence, d.credit, f"`{d.digest[:16]}`"] for d in manifest.data],
        ),
        "",
        "The CC BY 4.0 sources were changed: read into labels, types mapped, parts recased, identifiers replaced by surrogates.",
        "ASQ-PHI (MIT) and presidio-research (MIT) were used for evaluation alone.",
        "",
        "## Source attributes (45 CFR 170.315(b)(11)(iv)(B))",
        "",
    ]
    for group, entries in attributes_of(bundle).items():
        rows = [[name.replace("_", " "), text.format(scores="The table of scores above")] for name, text in entries.items()]
        lines += [f"### {group}", "", table(["attribute", "statement"], rows), ""]
    return "\n".join(lines)
