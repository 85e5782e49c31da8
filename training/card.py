"""The model card: what it is for, what it was made from, what it scores, what it does not do."""

from __future__ import annotations

from models.bundle import Manifest

_USE = {
    "wardstream-entities": """Marks problems, findings (signs and symptoms), medications with dosage, form, route, frequency and duration, procedures, tests,
values and anatomy in English clinical text, as input to rules and to people. Decision support, not decisions.

Limits: trained on biomedical abstracts, published case reports and generated order lines, not on notes from a hospital's record
system, which are not free. A small model after a short training: published models of 65 million parameters and more score higher on
the same corpora. Expect lower scores on real notes, above all for procedures, tests and anatomy. It does not say whether
a mention is negated or historical (the assertion rules do), and does not code it. Problem and finding are told apart by one corpus
(MACCROBAT) and by generated lines; BC5CDR, NCBI and PHEE do not distinguish them and were used as "one of the two". `form` and
most of `frequency` were learned from generated lines only.""",
    "wardstream-phi": """Marks names, dates, ages over 89, identifying numbers, phones, e-mail, web addresses, locations and organizations in English
clinical text. It is one layer of de-identification beside known identifiers and patterns, never the only one.

Limits: trained on generated identifiers in free clinical texts; no real notes with gold identifiers can be had. Weak where context is
missing: single names in lists, unusual organization acronyms, months and week days alone. Names were drawn from British, US and
world-wide lists of Latin spelling. No other languages.""",
}


def card(manifest: Manifest) -> str:
    """Markdown for ``MODEL_CARD.md``."""
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        _USE[manifest.name],
        "",
        "## Model",
        "",
        "BERT with 3 layers (layers 0, 2, 5 of all-MiniLM-L6-v2, Apache-2.0), 384 wide, token classification (BIO), dynamic int8, opset 17.",
        f"Windows of {manifest.window_tokens} pieces, {manifest.window_overlap} shared. Types: {', '.join(manifest.entity_types)}.",
        f"Seed {manifest.seed}; one run; " + ", ".join(f"{name} {number}" for name, number in manifest.tools.items()) + ".",
        "Thresholds: " + (", ".join(f"{name} {value}" for name, value in manifest.thresholds.items()) or "0.5") + ".",
        "",
        "## Scores (int8, through the serving code; development sets, not official tests)",
        "",
        "| set | figures |",
        "|---|---|",
    ]
    for name, figures in manifest.scores.items():
        lines.append(f"| {name} | " + ", ".join(f"{key} {value:g}" for key, value in figures.items()) + " |")
    lines += [
        "",
        "Strict spans: start, end and type must agree. `problem|finding` counts either type. `phee-recall` is recall alone: PHEE marks only",
        "the arguments of events. ASQ-PHI counts a value as covered when all its letters and digits are (titles aside) at every place.",
        "",
        "## Data",
        "",
        "| source | licence | credit | SHA-256 of the files |",
        "|---|---|---|---|",
    ]
    lines += [f"| {d.name} | {d.licence} | {d.credit} | `{d.digest[:16]}` |" for d in manifest.data]
    lines += [
        "",
        "The CC BY 4.0 sources were changed: read into token labels, types mapped, parts recased, identifiers replaced by surrogates.",
        "ASQ-PHI (MIT) and presidio-research (MIT) were used for evaluation alone.",
        "",
    ]
    return "\n".join(lines)
