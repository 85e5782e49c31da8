"""Relations between given mentions: ``python -m benchmarks.relations [--model] [--record] [--errors TYPE --corpus NAME [--train]]``.

Mentions are the corpora's own (gold), read by ``agents.extract.mentions.read_given`` as any note is: sections, sentences, relations.
A relation counts when type, head and tail are right; one that the corpus has across sentences counts as missed.

- ``maccrobat``: MODIFY between mentions of our types, in the reports that training holds out. Dosage, Administration, Frequency and
  Duration of a Medication; Lab_value of a Diagnostic_procedure (``test-value``); Biological_structure of a Sign_symptom or
  Disease_disorder (``finding-body_site``). It marks no reasons and no adverse events, and severity is no mention of ours.
- ``maccrobat_model`` (``--model``): the same reports with the mentions that the shipped entity model and the patterns find; both ends must
  overlap the corpus's, whatever their own types.
- ``phee``: arguments of one event in the development sentences: Dosage, Route, Freq, Duration, Disorder (``medication-reason``) of its
  Treatment's Drugs; Effect of an Adverse_event (``medication-adverse_event``). An event's arguments are the only mentions, and nearly
  every pair is related: ``every_pair`` (each pair of fitting types in a sentence) says how little that asks.
- ``cdr``: the fifty BC5CDR sample abstracts, all chemicals and diseases: the share of ``medication-adverse_event`` that the curators
  list as chemical-induced disease of the abstract (a claim is right when its two concepts are listed: precision), and how many of
  ``medication-reason`` are such pairs (each a reason taken for its contrary). They do not say where a relation stands: no recall.

Rules were written on the other reports and on PHEE's training part.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.extract.mentions import Origin, read_given
from agents.extract.sections import layout
from agents.extract.step import make_extractor
from benchmarks.public_data import data_folder
from streams.settings import Models, Settings
from training.data.corpora import held_out
from training.data.labels import LABEL_MAPS

RESULTS = Path(__file__).with_name("results") / "relations.json"
_ORIGIN = Origin("benchmark", "", "")
_HEADS = {"medication": ("dosage", "form", "route", "frequency", "duration"), "test": ("value",)}
_PROBLEMS = ("problem", "finding")

Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Case:
    """A text with its mentions and relations ``(type, head, tail)``; ``concepts`` where the corpus names them."""

    id: str
    text: str
    spans: tuple[Span, ...]
    relations: frozenset[tuple[str, Span, Span]]
    concepts: tuple[str, ...] = ()


def kind(head: str, tail: str) -> str | None:
    """The relation that these two types of mentions can have without a word on why; None for none."""
    if tail in _HEADS.get(head, ()):
        return f"{head}-{tail}"
    return "finding-body_site" if head in _PROBLEMS and tail == "anatomy" else None


def maccrobat(folder: Path, *, train: bool) -> Iterator[Case]:
    """The held-out reports, or the others; discontinuous spans are left out with their relations."""
    for number, path in enumerate(sorted(folder.glob("*.txt"))):
        if held_out(number) is train:
            continue
        spans: dict[str, Span] = {}
        events: dict[str, str] = {}
        relations = set()
        rows = [line.split("\t") for line in path.with_suffix(".ann").read_text("utf-8").splitlines()]
        for name, place, *_ in rows:
            if name[0] == "T" and ";" not in place and (types := LABEL_MAPS["maccrobat"][place.split()[0]]):
                spans[name] = (int(place.split()[1]), int(place.split()[2]), types[0])
            elif name[0] == "E":
                events[name] = place.split()[0].split(":")[1]
        for name, place, *_ in rows:
            if name[0] == "R" and place.startswith("MODIFY "):
                tail, head = (spans.get(events.get(end[5:], end[5:])) for end in place.split()[1:3])
                if head and tail and (named := kind(head[2], tail[2])):
                    relations.add((named, head, tail))
        yield Case(path.stem, path.read_text("utf-8"), tuple(sorted(set(spans.values()))), frozenset(relations))


def _spans(node: dict[str, Any], type_: str) -> list[Span]:
    pairs = zip(node.get("start", []), node.get("text", []), strict=True)
    return [(start, start + len(words), type_) for starts, texts in pairs for start, words in zip(starts, texts, strict=True)]


def phee(path: Path) -> Iterator[Case]:
    """One case a sentence."""
    parts = {"Dosage": "dosage", "Route": "route", "Freq": "frequency", "Duration": "duration"}
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        spans: set[Span] = set()
        relations = set()
        for event in (event for group in row["annotations"] for event in group["events"]):
            treatment = event.get("Treatment", {})
            drugs = _spans(treatment.get("Drug", {}), "medication")
            tied = [(f"medication-{t}", tail) for role, t in parts.items() for tail in _spans(treatment.get(role, {}), t)]
            reasons = _spans(treatment.get("Disorder", {}), "problem")
            effects = _spans(event.get("Effect", {}), "problem")
            tied += [("medication-reason", tail) for tail in reasons]
            if event["event_type"] == "Adverse_event":
                tied += [("medication-adverse_event", tail) for tail in effects]
            others = _spans(event.get("Subject", {}).get("Disorder", {}), "problem")
            spans.update(drugs, effects, others, (tail for _, tail in tied))
            relations.update((name, drug, tail) for drug in drugs for name, tail in tied)
        yield Case(row["id"], row["context"], tuple(sorted(spans)), frozenset(relations))


def cdr(path: Path) -> Iterator[Case]:
    """One case an abstract; a relation's ends are here whole concepts, written as their first mentions."""
    types = {"Chemical": "medication", "Disease": "problem"}
    for block in path.read_text("utf-8").split("\n\n"):
        lines = block.strip().splitlines()
        if not lines:
            continue
        text = " ".join(line.split("|", 2)[2] for line in lines[:2])
        rows = [line.split("\t") for line in lines[2:]]
        named = {(int(r[1]), int(r[2]), types[r[4]]): r[5] for r in rows if len(r) > 5}
        first: dict[str, Span] = {}
        for span in sorted(named):
            first.setdefault(named[span], span)
        pairs = [(first[r[2]], first[r[3]]) for r in rows if r[1] == "CID" and r[2] in first and r[3] in first]
        spans = tuple(sorted(named))
        yield Case(
            lines[0].split("|")[0], text, spans, frozenset(("medication-adverse_event", a, b) for a, b in pairs),
            tuple(named[span] for span in spans),
        )  # fmt: skip


def said(case: Case) -> set[tuple[str, Span, Span]]:
    """What the product says about the case's mentions."""
    result = read_given("note", case.text, case.spans, origin=_ORIGIN)
    by_id = {m.id: (m.start, m.end, str(m.type)) for m in result.mentions}
    return {(r.type, by_id[r.head], by_id[r.tail]) for r in result.relations}


def every_pair(case: Case) -> set[tuple[str, Span, Span]]:
    """Each pair of fitting types in a sentence: what needs no rule at all."""
    found = set()
    for sentence in layout(case.text)[1]:
        inside = [s for s in case.spans if sentence.start <= s[0] < sentence.end]
        for head in inside:
            for tail in inside:
                if named := kind(head[2], tail[2]):
                    found.add((named, head, tail))
                elif head[2] == "medication" and tail[2] in _PROBLEMS:
                    found |= {("medication-reason", head, tail), ("medication-adverse_event", head, tail)}
    return found


def scores(pairs: Iterable[tuple[set[tuple[str, Span, Span]], frozenset[tuple[str, Span, Span]]]]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 by type and over ``all``; types that the corpus never has are left out."""
    hit: Counter[str] = Counter()
    claimed: Counter[str] = Counter()
    true: Counter[str] = Counter()
    for says, gold in pairs:
        hit.update(r[0] for r in says & gold)
        claimed.update(r[0] for r in says)
        true.update(r[0] for r in gold)
    table = {}
    for name in sorted(true):
        table[name] = _row(hit[name], claimed[name], true[name])
    table["all"] = _row(sum(hit.values()), sum(claimed[name] for name in true), sum(true.values()))
    return table


def _row(hit: int, claimed: int, true: int) -> dict[str, float]:
    precision, recall = hit / claimed if claimed else 0.0, hit / true
    f1 = 2 * hit / (claimed + true)
    return {"true": true, "said": claimed, "precision": round(precision, 3), "recall": round(recall, 3), "f1": round(f1, 3)}


def found_by_model(cases: Iterable[Case]) -> dict[str, dict[str, float]]:
    """Relations of mentions that nobody gave, by type and over ``all``."""
    extractor = make_extractor(Settings(models=Models(execution="cpu", threads=1)))
    pairs = []
    for case in cases:
        result = extractor.extract_text("note", case.text, origin=case.id, policy="")
        by_id = {m.id: (m.start, m.end, "") for m in result.mentions}
        says = {(r.type, by_id[r.head], by_id[r.tail]) for r in result.relations}
        named = {s: next((g for g in sorted(case.relations) if _same(s, g)), s) for s in says}
        pairs.append((set(named.values()), case.relations))
    extractor.close()
    return scores(pairs)


def _same(one: tuple[str, Span, Span], other: tuple[str, Span, Span]) -> bool:
    return one[0] == other[0] and _overlap(one[1], other[1]) and _overlap(one[2], other[2])


def _overlap(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def control(cases: Iterable[Case]) -> dict[str, float]:
    """Claims about drugs and problems against the curated pairs of the abstract."""
    counts: Counter[str] = Counter()
    for case in cases:
        concept = dict(zip(case.spans, case.concepts, strict=True))
        listed = {(concept[head], concept[tail]) for _, head, tail in case.relations}
        for name, head, tail in said(case):
            counts[name] += 1
            counts[name + "!"] += (concept[head], concept[tail]) in listed
    adverse, reason = "medication-adverse_event", "medication-reason"
    return {
        "adverse_event": counts[adverse],
        "adverse_event_precision": round(counts[adverse + "!"] / max(1, counts[adverse]), 3),
        "reason": counts[reason],
        "reason_listed_as_adverse": counts[reason + "!"],
    }


def _show(cases: Iterable[Case], wanted: str) -> None:
    for case in cases:
        says = {r for r in said(case) if r[0] == wanted}
        gold = {r for r in case.relations if r[0] == wanted}
        for _, head, tail in sorted(says ^ gold):
            low, high = max(0, min(head[0], tail[0]) - 50), max(head[1], tail[1]) + 50
            text = " ".join(case.text[low:high].split())
            mark = "FALSE " if (wanted, head, tail) in says else "MISSED"
            print(f"{mark} [{case.text[head[0] : head[1]]}] -> [{case.text[tail[0] : tail[1]]}]: {text}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--train", action="store_true", help="the parts that rules may be written on")
    parser.add_argument("--errors", metavar="TYPE", help="print the wrong relations of this type")
    parser.add_argument("--corpus", choices=["maccrobat", "phee"], default="phee")
    parser.add_argument("--model", action="store_true", help="also with the mentions that the entity model finds")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    args = parser.parse_args()
    if not (args.data / "ner_phee").is_dir():
        print(f"no corpora under {args.data}", file=sys.stderr)
        return 2
    part = "train" if args.train else "dev"
    corpora = {
        "maccrobat": list(maccrobat(args.data / "ner_maccrobat2020", train=args.train)),
        "phee": list(phee(args.data / "ner_phee" / "data" / "json" / f"{part}.json")),
    }
    if args.errors:
        _show(corpora[args.corpus], args.errors)
        return 0
    table: dict[str, Any] = {}
    for name, cases in corpora.items():
        table[name] = {
            "texts": len(cases),
            "rules": scores((said(case), case.relations) for case in cases),
            "every_pair": scores((every_pair(case), case.relations) for case in cases),
        }
        for way in ("rules", "every_pair"):
            for relation, row in table[name][way].items():
                print(f"{name:10} {way:10} {relation:25} " + "  ".join(f"{k} {v}" for k, v in row.items()))
    table["cdr"] = control(cdr(args.data / "ner_bc5cdr_pubtator_sample" / "CDR_sample.txt"))
    print("cdr        " + "  ".join(f"{k} {v}" for k, v in table["cdr"].items()))
    if args.model:
        table["maccrobat_model"] = found_by_model(corpora["maccrobat"])
        for relation, row in table["maccrobat_model"].items():
            print(f"model      {relation:25} " + "  ".join(f"{k} {v}" for k, v in row.items()))
    if args.record and not args.train:
        RESULTS.write_text(json.dumps(table, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
