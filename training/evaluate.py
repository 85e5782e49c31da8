"""Score a bundle on the development sets: ``python -m training.evaluate bundle-folder``. Uses the serving code alone."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from models.tagger import Tagger
from training.data.corpora import data_folder, entity_development
from training.phi.corpus import PhiTexts
from training.scoring import bootstrap_f1, covered, strict

Scores = dict[str, dict[str, float]]
_PRESIDIO_LEFT_OUT = frozenset({"TITLE", "NRP", "AGE"})  # no identifiers under Safe Harbor unless over 89


def evaluate(tagger: Tagger, data: Path) -> Scores:
    """Scores of the bundle's task by data set, fractions of 1 rounded to four places."""
    return entity_scores(tagger, data) if "medication" in tagger.manifest.entity_types else phi_scores(tagger, data)


def entity_scores(tagger: Tagger, data: Path) -> Scores:
    """Strict P, R, F1 on BC5CDR and NCBI development, held-out MACCROBAT; recall alone on PHEE development (it marks only events)."""
    scores: Scores = {}
    for name, documents in entity_development(data).items():
        predicted = tagger.tag_many([d.text for d in documents])
        for group, counts in sorted(strict(documents, predicted).items()):
            if name == "phee":
                scores.setdefault("phee-recall", {})[group] = round(counts.recall, 4)
            else:
                scores[f"{name}-{group}"] = {k: round(getattr(counts, k), 4) for k in ("precision", "recall", "f1")}
        if name != "phee":
            low, high = bootstrap_f1(documents, predicted, draws=500, seed=1)
            scores[f"{name}-all"] |= {"f1_low": round(low, 4), "f1_high": round(high, 4)}
    return scores


def phi_scores(tagger: Tagger, data: Path) -> Scores:
    """Own unseen-name texts (strict), ASQ-PHI by value, presidio-research by character; the latter two in a first half looked at
    while developing and a second half that was not."""
    maker = PhiTexts(data, "dev", 97)
    documents = maker.injected(120) + maker.templates(400) + maker.negatives(100)
    predicted = tagger.tag_many([d.text for d in documents])
    scores: Scores = {}
    for group, counts in sorted(strict(documents, predicted).items()):
        scores[f"generated-{group}"] = {k: round(getattr(counts, k), 4) for k in ("precision", "recall", "f1")}
    queries = asq_queries(data / "deid_asq_phi/synthetic_clinical_queries.first60pct.txt")
    half = len(queries) // 2
    scores["asq-phi-first-half"] = asq_scores(tagger, queries[:half])
    scores["asq-phi-second-half"] = asq_scores(tagger, queries[half:])
    rows = json.loads((data / "deid_presidio_research/data/synth_dataset_v2.json").read_text(encoding="utf-8"))
    for name, parity in (("first", 0), ("second", 1)):
        scores[f"presidio-research-{name}-half"] = presidio_scores(tagger, [r for r in rows if r["template_id"] % 2 == parity])
    return scores


def asq_queries(path: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """(query, [(type, value)]) of ASQ-PHI."""
    found = []
    for block in path.read_text(encoding="utf-8").split("===QUERY===")[1:]:
        query, _, tags = block.partition("===PHI_TAGS===")
        values = [json.loads(line) for line in tags.splitlines() if line.strip()]
        found.append((query.strip(), [(v["identifier_type"], v["value"]) for v in values]))
    return found


def asq_scores(tagger: Tagger, queries: list[tuple[str, list[tuple[str, str]]]]) -> dict[str, float]:
    """Recall by value (all of it covered at every occurrence; or touched), and the share of queries without PHI that were touched."""
    predicted = tagger.tag_many([query for query, _ in queries])
    seen: dict[str, list[int]] = {}
    touched = whole = total = negatives = disturbed = 0
    for (query, values), spans in zip(queries, predicted, strict=True):
        if not values:
            negatives += 1
            disturbed += bool(spans)
        for kind, value in values:
            places = [m.span() for m in re.finditer(re.escape(value), query)]
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


def presidio_scores(tagger: Tagger, rows: list[dict]) -> dict[str, float]:  # type: ignore[type-arg]
    """Share of identifier letters and digits covered, and of the other letters and digits left alone."""
    predicted = tagger.tag_many([row["full_text"] for row in rows])
    hit = wanted = spared = other = 0
    for row, spans in zip(rows, predicted, strict=True):
        text = row["full_text"]
        gold = {
            k
            for s in row["spans"]
            if s["entity_type"] not in _PRESIDIO_LEFT_OUT
            for k in range(s["start_position"], s["end_position"])
        }
        aside = {
            k
            for s in row["spans"]
            if s["entity_type"] in _PRESIDIO_LEFT_OUT
            for k in range(s["start_position"], s["end_position"])
        }
        found = {k for span in spans for k in range(span.start, span.end)}
        letters = {k for k, c in enumerate(text) if c.isalnum()}
        hit += len(letters & gold & found)
        wanted += len(letters & gold)
        rest = letters - gold - aside
        spared += len(rest - found)
        other += len(rest)
    return {
        "sentences": float(len(rows)),
        "character_recall": round(hit / wanted, 4),
        "characters_left_alone": round(spared / other, 4),
    }


def main(folder: str) -> None:
    """Print the scores of the bundle in ``folder`` as JSON."""
    with Tagger.load(Path(folder)) as tagger:
        print(json.dumps(evaluate(tagger, data_folder()), indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
