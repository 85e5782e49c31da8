"""The model card: what it is for, what it was made from, what it scores, what it does not do, and the 31 source attributes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from models.bundle import Manifest
from training.report import table

CARDS = Path(__file__).parent / "cards"
_SCORES = "`scores` in the bundle's manifest, shown in the tables of its model card"
#: What a figure means, shown where a set of that name was scored.
_EXPLAINED = {
    "|": "`problem|finding` counts either type.",
    "phee": "`phee` is recall alone: PHEE marks only the arguments of events.",
    "asq-phi": "ASQ-PHI (MIT) was used for evaluation alone; it counts a value as covered when all its letters and digits are (titles aside) "
    "at every place.",
    "presidio-research": "presidio-research (MIT) was used for evaluation alone.",
    "phrasings": "`accepted` is the share of texts that the grounding check lets through; the others are never shown.",
}


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
    return {title: {name: text.format(scores=_SCORES) for name, text in group.items()} for title, group in groups.items()}


def card(manifest: Manifest, bundle: str) -> str:
    """Markdown for ``MODEL_CARD.md``. ``bundle`` names the file of texts: a site's bundle of another name uses one of ours."""
    texts = texts_of(bundle)
    sections = {
        "": f"{texts['use']}\n\nLimits: {texts['limits']}",
        "Model": _model(manifest),
        "Gate": "\n".join(f"- {name}: {value}" for name, value in manifest.gate.items()) or "Not judged.",
        "Scores (int8, through the serving code; development parts, not official tests)": _scores(manifest),
        "Scores by subgroup": _tables(manifest, (s for s in manifest.scores if _subgroup(s))) or "Not measured for this bundle.",
        "Speed and energy": _speed(manifest),
        "Data": _data(manifest),
    }
    lines = [f"# {manifest.name} {manifest.version}", ""]
    for heading, body in sections.items():
        lines += [f"## {heading}", ""] if heading else []
        lines += [body, ""]
    lines += ["## Source attributes (45 CFR 170.315(b)(11)(iv)(B))", ""]
    for title, group in attributes_of(bundle).items():
        rows = [[name.replace("_", " "), manifest.attributes[name]] for name in group]
        lines += [f"### {title}", "", table(["attribute", "statement"], rows), ""]
    return "\n".join(lines)


def _model(manifest: Manifest) -> str:
    named = ("Types", manifest.entity_types) if manifest.entity_types else ("Labels", manifest.labels)
    lines = [
        f"{manifest.family}, {manifest.task}, int8 (dynamic, signed, per channel). Windows of {manifest.window_tokens} pieces."
        if not manifest.max_new_tokens
        else f"{manifest.family}, {manifest.task}, int8 (dynamic, signed, per channel), at most {manifest.max_new_tokens} pieces long.",
        f"{named[0]}: {', '.join(named[1])}." if named[1] else "",
        f"Measured values: {', '.join(f'{n.name} ({n.unit}, {n.low:g} to {n.high:g})' for n in manifest.numbers)}."
        if manifest.numbers
        else "",
        f"Temperature {manifest.temperature:g}. Thresholds: "
        + (", ".join(f"{name} {value:g}" for name, value in manifest.thresholds.items()) or "0.5")
        + "."
        if named[1]
        else "",
        f"Seed {manifest.seed}; " + ", ".join(f"{name} {number}" for name, number in manifest.tools.items()) + ".",
    ]
    return "\n".join(line for line in lines if line)


def _subgroup(name: str) -> bool:
    return name.startswith("subgroup-") or name.endswith(("-capitals", "-unseen"))


def _scores(manifest: Manifest) -> str:
    names = [s for s in manifest.scores if not _subgroup(s) and s not in ("speed", "energy")]
    notes = [note for part, note in _EXPLAINED.items() if any(part in name for name in names)]
    if manifest.task == "token-classification":
        notes.insert(0, "Strict spans: start, end and type must agree.")
    if any("f1_low" in manifest.scores[name] for name in names):
        notes.append("`f1_low` and `f1_high` bound the 95 % bootstrap interval over documents.")
    if any("support" in manifest.scores[name] for name in names):
        notes.append("`support` counts what was to be found.")
    return "\n\n".join(part for part in (_tables(manifest, names) or "Not measured.", "\n".join(notes)) if part)


def _tables(manifest: Manifest, names: Iterable[str]) -> str:
    """One table for all sets that have the same figures."""
    by_columns: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        by_columns.setdefault(tuple(manifest.scores[name]), []).append(name)
    return "\n\n".join(
        table(["set", *columns], [[name, *manifest.scores[name].values()] for name in some])
        for columns, some in by_columns.items()
        if columns
    )


def _speed(manifest: Manifest) -> str:
    figures = {name: manifest.scores.get(name, {}) for name in ("speed", "energy")}
    said = {
        name: ", ".join(f"{figure.replace('_', ' ')} {value:g}" for figure, value in given.items())
        for name, given in figures.items()
    }
    return (
        f"Speed (one core, one thread, best of several): {said['speed'] or 'not measured'}.\n"
        f"Energy: {said['energy'] or 'not measured on this machine'}."
    )


def _data(manifest: Manifest) -> str:
    if not manifest.data:
        return "No outside data: the texts were written for the purpose and are part of the source code."
    rows = [[d.name, d.licence, d.credit, f"`{d.digest[:16]}`"] for d in manifest.data]
    changed = (
        "\n\nThe CC BY 4.0 sources were changed: read into labels, types mapped, parts recased, identifiers replaced by surrogates."
        if any(d.licence.startswith("CC BY") for d in manifest.data)
        else ""
    )
    return table(["source", "licence", "credit", "SHA-256 of the files"], rows) + changed
