"""How well identifiers are found: own unseen-name texts, ASQ-PHI by value, presidio-research by character, and names by subgroup.

Everything takes ``tag_many``: texts in, their spans out (anything with ``start``, ``end`` and ``label``), so that a model, the
rules and both together are measured alike. ASQ-PHI and presidio-research are for evaluation only.
Their first half (first queries; even template numbers) was read while developing, the second was not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from models.decoding import ScoredSpan
from training.data.document import Document
from training.data.lexicon import load_lexicon
from training.phi.corpus import PhiTexts
from training.phi.gazetteer import load_gazetteer
from training.phi.people import GROUPS
from training.phi.values import Values
from training.scoring import covered, strict

Scores = dict[str, dict[str, float]]
TagMany = Callable[[list[str]], Sequence[Sequence[ScoredSpan]]]
Query = tuple[str, list[tuple[str, str]]]
Row = dict[str, Any]

#: No identifiers under Safe Harbor: titles, nationalities, and ages unless over 89 (none is in the set).
PRESIDIO_LEFT_OUT: Final = frozenset({"TITLE", "NRP", "AGE"})
_YEAR = re.compile(r"(?:18|19|20)\d\d")
_QUOTES = str.maketrans("‘’“”", "''\"\"")


def phi_scores(tag_many: TagMany, data: Path) -> Scores:
    """Scores by set, fractions of 1 rounded to four places."""
    maker = PhiTexts(data, "dev", 97)
    made = {
        "generated": maker.injected(120) + maker.templates(400) + maker.negatives(100),
        "general": maker.general(200),
    }
    scores: Scores = {}
    for name, documents in made.items():
        predicted = tag_many([d.text for d in documents])
        for group, counts in sorted(strict(documents, predicted).items()):
            figures = {k: round(getattr(counts, k), 4) for k in ("precision", "recall", "f1")}
            scores[f"{name}-{group}"] = figures | {"support": float(counts.right + counts.missed)}
        scores[f"{name}-characters"] = characters_of(documents, predicted)
    first, second = asq_halves(data)
    scores["asq-phi-first-half"] = asq_scores(tag_many, first)
    scores["asq-phi-second-half"] = asq_scores(tag_many, second)
    even, odd = presidio_halves(data)
    scores["presidio-research-first-half"] = presidio_scores(tag_many, even)
    scores["presidio-research-second-half"] = presidio_scores(tag_many, odd)
    return scores | subgroup_scores(tag_many, data)


def characters_of(documents: Sequence[Document], predicted: Sequence[Sequence[ScoredSpan]]) -> dict[str, float]:
    """Share of the letters and digits of gold spans that are covered, and of the others left alone; types do not matter."""
    hit = wanted = spared = other = 0
    for document, spans in zip(documents, predicted, strict=True):
        letters = {k for k, c in enumerate(document.text) if c.isalnum()}
        gold = {k for s in document.spans for k in range(s.start, s.end)} & letters
        found = _characters(spans)
        hit, wanted = hit + len(gold & found), wanted + len(gold)
        spared, other = spared + len(letters - gold - found), other + len(letters - gold)
    return {"recall": round(hit / max(1, wanted), 4), "left_alone": round(spared / max(1, other), 4)}


def _characters(spans: Sequence[ScoredSpan]) -> set[int]:
    return {k for span in spans for k in range(span.start, span.end)}


def asq_halves(data: Path) -> tuple[list[Query], list[Query]]:
    """ASQ-PHI queries with their (type, value) pairs, first and second half."""
    path = data / "deid_asq_phi/synthetic_clinical_queries.first60pct.txt"
    found: list[Query] = []
    for block in path.read_text(encoding="utf-8").split("===QUERY===")[1:]:
        query, _, tags = block.partition("===PHI_TAGS===")
        values = [json.loads(line) for line in tags.splitlines() if line.strip()]
        found.append((query.strip(), [(v["identifier_type"], v["value"]) for v in values]))
    half = len(found) // 2
    return found[:half], found[half:]


def asq_scores(tag_many: TagMany, queries: Sequence[Query]) -> dict[str, float]:
    """Recall by value (all of it covered at every occurrence; or touched), and the share of queries without PHI that were touched.

    A value is looked for with straight quotation marks, as the tags write them; one that is not in its query counts as missed.
    """
    predicted = tag_many([query for query, _ in queries])
    seen: dict[str, list[int]] = {}
    touched = whole = total = negatives = disturbed = 0
    for (query, values), spans in zip(queries, predicted, strict=True):
        if not values:
            negatives += 1
            disturbed += bool(spans)
        plain = query.translate(_QUOTES)
        for kind, value in values:
            places = [m.span() for m in re.finditer(re.escape(value.translate(_QUOTES)), plain)]
            results = [covered(query, *place, spans) for place in places]
            total += 1
            touched += bool(results) and all(t for t, _ in results)
            complete = bool(results) and all(c for _, c in results)
            whole += complete
            row = seen.setdefault(kind.lower(), [0, 0])
            row[0] += complete
            row[1] += 1
    scores = {"values": float(total), "recall_covered": whole / total, "recall_touched": touched / total}
    scores |= {"negatives": float(negatives), "negatives_touched": disturbed / max(1, negatives)}
    scores |= {f"recall_{kind}": right / n for kind, (right, n) in sorted(seen.items()) if n >= 5}
    return {k: round(v, 4) for k, v in scores.items()}


def presidio_halves(data: Path) -> tuple[list[Row], list[Row]]:
    """Rows of presidio-research, even and odd template numbers: rows of one template never fall into both."""
    rows = json.loads((data / "deid_presidio_research/data/synth_dataset_v2.json").read_text(encoding="utf-8"))
    return [r for r in rows if r["template_id"] % 2 == 0], [r for r in rows if r["template_id"] % 2]


def presidio_scores(tag_many: TagMany, rows: Sequence[Row]) -> dict[str, float]:
    """Share of the identifiers' letters and digits covered, by type too, and of the other letters and digits left alone.

    ``without_years`` leaves out dates that are a year alone, which is no identifier under Safe Harbor.
    """
    predicted = tag_many([row["full_text"] for row in rows])
    counts: dict[str, list[int]] = {}
    spared = other = 0
    for row, spans in zip(rows, predicted, strict=True):
        text = row["full_text"]
        letters = {k for k, c in enumerate(text) if c.isalnum()}
        found = _characters(spans)
        gold: set[int] = set()
        aside: set[int] = set()
        for span in row["spans"]:
            place = set(range(span["start_position"], span["end_position"])) & letters
            if span["entity_type"] in PRESIDIO_LEFT_OUT:
                aside |= place
                continue
            year = _YEAR.fullmatch(text[span["start_position"] : span["end_position"]])
            row_of = counts.setdefault("year" if year else span["entity_type"].lower(), [0, 0])
            row_of[0] += len(place & found)
            row_of[1] += len(place)
            gold |= place
        rest = letters - gold - aside
        spared += len(rest - found)
        other += len(rest)
    hit, wanted = (sum(row[k] for row in counts.values()) for k in (0, 1))
    year_hit, year_wanted = counts.get("year", [0, 0])
    scores = {
        "sentences": float(len(rows)),
        "character_recall": hit / wanted,
        "character_recall_without_years": (hit - year_hit) / (wanted - year_wanted),
        "characters_left_alone": spared / other,
    }
    scores |= {f"recall_{kind}": right / n for kind, (right, n) in sorted(counts.items())}
    return {k: round(v, 4) for k, v in scores.items()}


_SENTENCES: Final = (
    "Seen by Dr. {name} today.",
    "{name} reports chest pain.",
    "Spoke with {name} by phone.",
    "Pt {name} is stable on lisinopril.",
    "Her husband {name} is at the bedside.",
    "Electronically signed by {name}, MD",
    "What is the best treatment of asthma in {name}, 44?",
    "Family history was given by {name}.",
)
_FILLER: Final = (
    "The lungs are clear to auscultation bilaterally and the heart has a regular rate and rhythm without murmurs. The abdomen is "
    "soft and not tender. Metoprolol 25 mg twice daily is continued, potassium 4.1 mmol/L and creatinine 0.9 mg/dL are unchanged "
    "since 2019. "
)


def subgroup_scores(tag_many: TagMany, data: Path) -> Scores:
    """Share of names that are covered to the last letter, in the same sentences: by where the name comes from, by case, and in a
    short or a long text. Names are of the development part."""
    values = Values(Random(53), load_gazetteer(data, "dev"), load_lexicon(data))
    rows = [
        (group, sentence, " ".join(values.person_of(group))) for group in GROUPS for sentence in _SENTENCES for _ in range(25)
    ]
    cases: dict[str, Callable[[str], str]] = {"mixed": str, "upper": str.upper, "lower": str.lower}
    texts: list[tuple[tuple[str, ...], str, int, int]] = []
    for group, sentence, name in rows:
        start = sentence.index("{name}")
        for case, change in cases.items():
            whole = change(sentence.format(name=name))
            if len(whole) == len(sentence) - 6 + len(name):
                texts.append(
                    (((f"names-{group}", "short") if case == "mixed" else (f"case-{case}",)), whole, start, start + len(name))
                )
        texts.append(
            (
                ("long",),
                _FILLER + sentence.format(name=name) + " " + _FILLER,
                start + len(_FILLER),
                start + len(_FILLER) + len(name),
            )
        )
    counts: dict[str, list[int]] = {}
    for (groups, text, start, end), spans in zip(texts, tag_many([text for _, text, _, _ in texts]), strict=True):
        complete = covered(text, start, end, spans)[1]
        for group in groups:
            row = counts.setdefault(group, [0, 0])
            row[0] += complete
            row[1] += 1
    return {
        f"subgroup-{group}": {"recall_covered": round(hit / n, 4), "names": float(n)}
        for group, (hit, n) in sorted(counts.items())
    }
