"""Sides, onsets, expansions of abbreviations and the order of events: ``python -m benchmarks.understanding [--record] [--errors]``.

- ``laterality``, ``onset``, ``expansions``: the sentences of ``tests/cases/understanding``, written by hand before the rules (for expansions: before
  their lexicon was looked at). The same hand wrote sentences and rules of the first two: they are the cases that it thought of.
- ``maccrobat_onset``: all 150 reports with the corpus's mentions. ``recall``: of the symptoms and diseases that a Duration modifies, those whose onset
  overlaps it. ``precision``: of the onsets, those that overlap a Duration, Date or Time of the corpus. It does not mark what is since when: a Duration may
  be a course, a Date an end, and no figure here says that words and problem belong together where the corpus relates none.
- ``maccrobat_laterality``: of the symptoms and diseases whose own words or related Biological_structure say left, right, bilateral or both (chambers,
  axes and branches of the heart aside), those with that side (``recall``), and with another (``contradicted``). Sides that stand beside the
  corpus's spans are in no gold, so that there is no precision.

- ``events``: the order of two events of a sentence (``agents/extract/events.py``), on sentences written after a first draft of the rules and before its first run.
- ``maccrobat_events``: BEFORE, AFTER and OVERLAP of every second report, which nobody looked at while the rules were written (``_seen``: the others). The corpus
  relates few of the pairs that a sentence orders: ``judged`` are what we say of pairs that it relates, directly or by chains of BEFORE and IDENTICAL;
  ``precision`` is over these; it writes OVERLAP of what lies in one phase of the stay, also where the sentence says "after", so that ``opposite`` counts
  those that it orders the other way round; ``recall`` over its direct BEFORE and AFTER between two mentions of ours in one sentence, however they are said there.

Given mentions throughout; what the entity model misses is not counted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.extract.expansions import definitions, expand
from agents.extract.mentions import Origin, read_given
from agents.extract.sentences import split_sentences
from benchmarks.public_data import data_folder
from schemas.findings import Mention
from training.data.labels import LABEL_MAPS

CASES = Path(__file__).parents[1] / "tests" / "cases" / "understanding"
RESULTS = Path(__file__).with_name("results") / "understanding.json"
_ORIGIN = Origin("benchmark", "", "")
_MARKED = re.compile(r"\[([^]]*)\]|\{([^}]*)\}")
_TYPED = re.compile(r"\[(\w+): ([^]]*)\]")
_TURNED = {"before": "after", "after": "before", "overlap": "overlap"}
_SIDE = re.compile(
    r"\b(left|right|bilateral(?:ly)?|both)\b(?![\s-]+(?:and\s\w+\s)?(?:ventric|atri|axis|bundle|heart|anterior\s+desc|main|coronary))",
    re.IGNORECASE,
)

Span = tuple[int, int, str]


def rows(name: str) -> Iterator[list[str]]:
    for line in (CASES / f"{name}.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            yield line.split("\t")


def read_marked(sentence: str) -> Mention:
    """The first problem of a sentence whose problems stand in ``[]`` and whose sites in ``{}``."""
    text, spans, at = "", [], 0
    for mark in _MARKED.finditer(sentence):
        text += sentence[at : mark.start()]
        words = mark.group(1) or mark.group(2)
        spans.append((len(text), len(text) + len(words), "problem" if mark.group(1) else "anatomy"))
        text, at = text + words, mark.end()
    found = read_given("note", text + sentence[at:], spans, origin=_ORIGIN).mentions
    return next(m for m in found if m.type == "problem")


def read_order(sentence: str) -> tuple[str, str, str] | None:
    """Order of the first event as seen from the second, lag and time of the stay, in a sentence whose events are marked ``[type: words]``."""
    text, spans, at = "", [], 0
    for mark in _TYPED.finditer(sentence):
        text += sentence[at : mark.start()]
        spans.append((len(text), len(text) + len(mark[2]), mark[1]))
        text, at = text + mark[2], mark.end()
    result = read_given("note", text + sentence[at:], spans, origin=_ORIGIN)
    first = min(result.mentions, key=lambda m: m.start)
    for one in result.relations:
        if one.type.startswith("event-"):
            order = one.type.removeprefix("event-")
            turned = order if one.head == first.id else _TURNED[order]
            return turned, one.lag, one.anchor.words if one.anchor else ""
    return None


def expanded(short: str, section: str, sentence: str) -> str:
    place = re.search(rf"\b{short}\b", sentence)
    assert place is not None, f"{short} is not in its sentence"
    return expand(sentence, place.start(), place.end(), section, definitions(sentence))


def same_words(one: str, other: str) -> bool:
    return one.lower() in other.lower() or other.lower() in one.lower()


def scored(true: int, said: int, hit: int) -> dict[str, float]:
    return {"true": true, "said": said, "precision": round(hit / max(1, said), 3), "recall": round(hit / max(1, true), 3)}


@dataclass(frozen=True, slots=True)
class Order:
    """What the corpus says of the time of two spans, by their places. ``direct``: its own BEFORE and AFTER, the earlier one first."""

    before: dict[tuple[int, int], set[tuple[int, int]]]
    overlap: frozenset[frozenset[tuple[int, int]]]
    direct: tuple[tuple[tuple[int, int], tuple[int, int]], ...]

    def of(self, one: tuple[int, int], other: tuple[int, int]) -> str:
        """``before``, ``after``, ``overlap``, or empty where it says nothing, or two things."""
        said = [
            order
            for order, holds in (
                ("before", other in self._later(one)),
                ("after", one in self._later(other)),
                ("overlap", frozenset((one, other)) in self.overlap),
            )
            if holds
        ]
        return said[0] if len(said) == 1 else ""

    def _later(self, one: tuple[int, int]) -> set[tuple[int, int]]:
        seen, waiting = set(), [one]
        while waiting:
            for then in self.before.get(waiting.pop(), ()):
                if then not in seen:
                    seen.add(then)
                    waiting.append(then)
        return seen


@dataclass(frozen=True, slots=True)
class Report:
    """``times`` are all spans of time; ``lasting`` pairs a head with the Duration that modifies it; ``places`` with its site."""

    text: str
    spans: tuple[Span, ...]
    times: tuple[Span, ...]
    lasting: tuple[tuple[Span, Span], ...]
    places: tuple[tuple[Span, Span], ...]
    order: Order


def read_order_of(lines: list[list[str]], spans: dict[str, Span], events: dict[str, str]) -> Order:
    """Of one report's annotation lines; ``spans`` by name, ``events`` name the span of each event."""

    def place(end: str) -> tuple[int, int] | None:
        name = end.rpartition(":")[2]
        found = spans.get(events.get(name, name))
        return None if found is None else found[:2]

    same: dict[tuple[int, int], set[tuple[int, int]]] = {}
    pairs, overlap = [], set()
    for name, said, *_ in lines:
        kind, *ends = said.split()
        places = [found for end in ends if (found := place(end)) is not None]
        if name == "*" and kind == "OVERLAP":
            overlap |= {frozenset(pair) for pair in itertools.combinations(places, 2)}
        elif name[0] == "R" and len(places) == 2:
            if kind == "OVERLAP":
                overlap.add(frozenset(places))
            elif kind == "IDENTICAL":
                same.setdefault(places[0], set()).add(places[1])
                same.setdefault(places[1], set()).add(places[0])
            elif kind in ("BEFORE", "AFTER"):
                pairs.append((places[0], places[1]) if kind == "BEFORE" else (places[1], places[0]))
    before: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for one, then in pairs:
        for alike in (one, *same.get(one, ())):
            before.setdefault(alike, set()).update({then, *same.get(then, ())})
    return Order(before, frozenset(overlap), tuple(pairs))


def maccrobat(folder: Path) -> Iterator[Report]:
    for path in sorted(folder.glob("*.txt")):
        lines = [line.split("\t") for line in path.with_suffix(".ann").read_text("utf-8").splitlines()]
        spans: dict[str, Span] = {}
        kinds: dict[str, str] = {}
        events: dict[str, str] = {}
        for name, place, *_ in lines:
            if name[0] == "T" and ";" not in place:
                kind, low, high = place.split()
                kinds[name], spans[name] = kind, (int(low), int(high), next(iter(LABEL_MAPS["maccrobat"][kind] or ()), ""))
            elif name[0] == "E":
                events[name] = place.split()[0].split(":")[1]
        lasting, places = [], []
        for name, place, *_ in lines:
            if name[0] == "R" and place.startswith("MODIFY "):
                tail, head = (events.get(end[5:], end[5:]) for end in place.split()[1:3])
                if tail in spans and kinds.get(head) in ("Sign_symptom", "Disease_disorder"):
                    if kinds[tail] == "Duration":
                        lasting.append((spans[head], spans[tail]))
                    elif kinds[tail] == "Biological_structure":
                        places.append((spans[head], spans[tail]))
        times = tuple(spans[n] for n, kind in kinds.items() if kind in ("Duration", "Date", "Time"))
        given = tuple(sorted({s for s in spans.values() if s[2]}))
        yield Report(path.read_text("utf-8"), given, times, tuple(lasting), tuple(places), read_order_of(lines, spans, events))


def on_reports(folder: Path, *, errors: bool) -> dict[str, dict[str, float]]:
    since = [0, 0, 0, 0]  # durations, of them found, said, of them at a time
    sides = [0, 0, 0]  # true, right, another
    for report in maccrobat(folder):
        found = {(m.start, m.end): m for m in read_given("note", report.text, report.spans, origin=_ORIGIN).mentions}
        for head, tail in report.lasting:
            onset = found[head[:2]].onset if head[:2] in found else None
            hit = onset is not None and onset.start < tail[1] and tail[0] < onset.end
            since[0] += 1
            since[1] += hit
            if errors and not hit:
                print("MISSED", report.text[head[0] : head[1]], "|", report.text[tail[0] - 40 : tail[1] + 40].replace("\n", " "))
        for mention in found.values():
            if mention.onset is not None:
                hit = any(mention.onset.start < t[1] and t[0] < mention.onset.end for t in report.times)
                since[2] += 1
                since[3] += hit
                if errors and not hit:
                    print("FALSE ", mention.text, "|", mention.onset.words)
        told: dict[tuple[int, int], set[str]] = {}
        for head, tail in [*report.places, *((s, s) for s in report.spans if s[2] in ("problem", "finding"))]:
            words = {w.lower().removesuffix("ly") for w in _SIDE.findall(report.text[tail[0] : tail[1]])}
            told.setdefault(head[:2], set()).update("bilateral" if w == "both" else w for w in words)
        for place, words in told.items():
            mention = found.get(place)
            if mention is None or mention.type not in ("problem", "finding"):
                continue
            gold = "bilateral" if len(words) > 1 else next(iter(words), "")
            sides[0] += bool(gold)
            sides[1] += bool(gold) and gold == mention.laterality
            sides[2] += bool(gold) and bool(mention.laterality) and gold != mention.laterality
            if errors and gold and gold != mention.laterality:
                print("SIDE  ", gold, "/", mention.laterality, "|", report.text[place[0] - 40 : place[1] + 40].replace("\n", " "))
    return {
        "maccrobat_onset": {"durations": since[0], "recall": round(since[1] / since[0], 3), "said": since[2],
                            "precision": round(since[3] / max(1, since[2]), 3)},
        "maccrobat_laterality": {"true": sides[0], "recall": round(sides[1] / sides[0], 3), "contradicted": sides[2]},
    }  # fmt: skip


def on_events(reports: Sequence[Report], *, errors: bool) -> dict[str, float]:
    said = judged = right = opposite = true = hit = 0
    for report in reports:
        result = read_given("note", report.text, report.spans, origin=_ORIGIN)
        places = {m.id: (m.start, m.end) for m in result.mentions}
        told: dict[frozenset[tuple[int, int]], str] = {}
        for one in result.relations:
            if not one.type.startswith("event-"):
                continue
            head, tail = (
                places[one.head],
                places.get(one.tail) or (one.anchor.start, one.anchor.end) if one.anchor else places[one.tail],
            )
            order = one.type.removeprefix("event-")
            told[frozenset((head, tail))] = order if head < tail else _TURNED[order]
            gold = report.order.of(head, tail)
            said, judged, right = said + 1, judged + bool(gold), right + (gold == order)
            opposite += {gold, order} == {"before", "after"}
            if errors and gold != order:
                low, high = min(head[0], tail[0]), max(head[1], tail[1])
                print("EVENT ", gold or "unsaid", "/", order, "|", report.text[low - 40 : high].replace("\n", " "))
        sentences = split_sentences(report.text)
        known = set(places.values())
        for pair in {frozenset(pair) for pair in report.order.direct}:
            low, high = min(pair), max(pair)
            if pair <= known and any(s.start <= low[0] and high[1] <= s.end for s in sentences):
                true += 1
                found = told.get(pair) == report.order.of(low, high) != ""
                hit += found
                if errors and not found:
                    print("UNSAID", report.order.of(low, high), "|", report.text[low[0] - 40 : high[1]].replace("\n", " "))
    return {
        "said": said,
        "judged": judged,
        "precision": round(right / max(1, judged), 3),
        "opposite": opposite,
        "true": true,
        "recall": round(hit / max(1, true), 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    args = parser.parse_args()
    folder = args.data / "ner_maccrobat2020"
    if not folder.is_dir():
        print(f"no corpora under {args.data}", file=sys.stderr)
        return 2
    table: dict[str, Any] = {}
    lateral = [(want.replace("-", ""), read_marked(sentence).laterality) for want, sentence in rows("laterality")]
    table["laterality"] = scored(
        *(sum(map(bool, column)) for column in zip(*lateral, strict=True)), sum(a == b != "" for a, b in lateral)
    )
    since = [(words, read_marked(sentence).onset) for _, words, sentence in rows("onset")]
    table["onset"] = scored(
        sum(words != "-" for words, _ in since),
        sum(onset is not None for _, onset in since),
        sum(onset is not None and same_words(words, onset.words) for words, onset in since),
    )
    short = [(long, expanded(name, section, sentence)) for name, long, section, sentence in rows("expansions")]
    table["expansions"] = scored(len(short), sum(bool(b) for _, b in short), sum(a == b for a, b in short))
    ordered = [(order, read_order(sentence)) for order, *_, sentence in rows("events")]
    table["events"] = scored(
        sum(order != "-" for order, _ in ordered),
        sum(found is not None for _, found in ordered),
        sum(found is not None and found[0] == order for order, found in ordered),
    )
    table |= on_reports(folder, errors=args.errors)
    reports = list(maccrobat(folder))
    table["maccrobat_events"] = on_events(reports[1::2], errors=False)
    table["maccrobat_events_seen"] = on_events(reports[::2], errors=args.errors)
    for name, row in table.items():
        print(f"{name:22} " + "  ".join(f"{k} {v}" for k, v in row.items()))
    if args.record:
        RESULTS.write_text(json.dumps(table, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
