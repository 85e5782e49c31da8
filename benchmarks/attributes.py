"""What mentions say besides their type: ``python -m benchmarks.attributes [--train] [--errors] [--record]``.

- ``laterality``: the problems and findings of MACCROBAT's held-out reports (``--train``: of the others, on which rules may be written). The
  true side is the one that its annotators' spans name: the mention's own words, and those of the Biological_structure and
  Detailed_description that modify it. The product is given the mentions of our types alone, as in ``benchmarks.relations``.
- ``onset``: ``written/onsets.tsv``, forty sentences written and labelled by the author of the rules after them and kept apart: no rule was
  changed for one. An onset counts when it has the words of the label, no more and no less.
- ``expansion``: ``written/expansions.tsv``, sixty sentences of the same kind, the words of the vocabulary known to their author; in ten of
  them there is no evidence or the meaning is none of the vocabulary's, and saying nothing is right.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from agents.extract.expansions import definitions, expand
from agents.extract.mentions import Origin, read_given
from benchmarks.public_data import data_folder
from training.data.corpora import held_out
from training.data.labels import LABEL_MAPS

RESULTS = Path(__file__).with_name("results") / "attributes.json"
_WRITTEN = Path(__file__).with_name("written")
_ORIGIN = Origin("benchmark", "", "")
_SIDE = re.compile(r"\b(?:(left)|(right)|(bilateral(?:ly)?|both))\b", re.I)
_PLACES = ("Biological_structure", "Detailed_description")


def _side(words: list[str]) -> str:
    told = {found.lastindex for text in words for found in _SIDE.finditer(text)}
    return "" if not told else "bilateral" if 3 in told or len(told) > 1 else "left" if 1 in told else "right"


def maccrobat(folder: Path, *, train: bool) -> Iterator[tuple[str, list[tuple[int, int, str]], dict[tuple[int, int], str]]]:
    """Text, mentions of our types, and the true side of each problem or finding by its offsets."""
    for number, path in enumerate(sorted(folder.glob("*.txt"))):
        if held_out(number) is train:
            continue
        text = path.read_text("utf-8")
        rows = [line.split("\t") for line in path.with_suffix(".ann").read_text("utf-8").splitlines()]
        spans: dict[str, tuple[str, int, int]] = {}
        events: dict[str, str] = {}
        for name, place, *_ in rows:
            if name[0] == "T" and ";" not in place:
                label, start, end = place.split()
                spans[name] = (label, int(start), int(end))
            elif name[0] == "E":
                events[name] = place.split()[0].split(":")[1]
        words: dict[str, list[str]] = {}
        for name, place, *_ in rows:
            if name[0] == "R" and place.startswith("MODIFY "):
                tail, head = (events.get(end[5:], end[5:]) for end in place.split()[1:3])
                if tail in spans and spans[tail][0] in _PLACES:
                    words.setdefault(head, []).append(text[spans[tail][1] : spans[tail][2]])
        given, true = [], {}
        for name, (label, start, end) in spans.items():
            if types := LABEL_MAPS["maccrobat"].get(label):
                given.append((start, end, types[0]))
                if types[0] in ("problem", "finding"):
                    true[(start, end)] = _side([text[start:end], *words.get(name, ())])
        yield text, sorted(set(given)), true


def laterality(folder: Path, *, train: bool, errors: bool) -> dict[str, float]:
    """A side counts as right when it is the true one; a mention without a true side has none to find."""
    counts: Counter[str] = Counter()
    for text, given, true in maccrobat(folder, train=train):
        for mention in read_given("note", text, given, origin=_ORIGIN).mentions:
            side = true.get((mention.start, mention.end))
            if side is None:
                continue
            around = " ".join(text[max(0, mention.start - 60) : mention.end + 60].split())
            _count(counts, side, mention.laterality, errors and f"[{mention.text}] {around}")
    return _scores(counts)


def _written(name: str) -> Iterator[tuple[str, list[str]]]:
    for line in (_WRITTEN / name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            text, *labels = line.split("\t")
            yield text, labels


def onset(*, errors: bool) -> dict[str, float]:
    counts: Counter[str] = Counter()
    types = {"f": "finding", "m": "medication", "o": "procedure"}
    for marked, labels in _written("onsets.tsv"):
        parts = re.split(r"<(\w):([^>]*)>", marked)
        text, given = parts[0], []
        for kind, words, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            given.append((len(text), len(text) + len(words), types[kind]))
            text += words + rest
        found = [m for m in read_given("note", text, given, origin=_ORIGIN).mentions if m.type == "finding"]
        for mention, label in zip(found, labels, strict=True):
            true = "" if label == "-" else label
            _count(counts, true, mention.onset, errors and f"[{mention.text}] {text}")
    return _scores(counts)


def expansion(*, errors: bool) -> dict[str, float]:
    """The marked abbreviation of each sentence; ``-`` where nothing is to be said."""
    counts: Counter[str] = Counter()
    for marked, (section, label) in _written("expansions.tsv"):
        text = marked.replace("{", "").replace("}", "")
        start = marked.index("{")
        end = marked.index("}") - 1
        said = expand(text, start, end, "" if section == "-" else section, definitions(text))
        _count(counts, "" if label == "-" else label, said, errors and text)
    return _scores(counts)


def _count(counts: Counter[str], true: str, said: str, shown: str | bool) -> None:
    counts["mentions"] += 1
    counts["true"] += bool(true)
    counts["said"] += bool(said)
    counts["right"] += bool(true) and true == said
    counts["correct"] += true == said  # also where nothing is to be said
    if shown and true != said:
        print(f"true {true or '-':28} said {said or '-':28} {shown}")


def _scores(counts: Counter[str]) -> dict[str, float]:
    precision, recall = counts["right"] / max(1, counts["said"]), counts["right"] / max(1, counts["true"])
    f1 = 2 * counts["right"] / max(1, counts["said"] + counts["true"])
    accuracy = counts["correct"] / max(1, counts["mentions"])
    return dict(counts) | {
        "accuracy": round(accuracy, 3),
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "f1": round(f1, 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--train", action="store_true", help="the reports that rules may be written on")
    parser.add_argument("--errors", action="store_true", help="print what is wrong")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    args = parser.parse_args()
    if not (args.data / "ner_maccrobat2020").is_dir():
        print(f"no corpora under {args.data}", file=sys.stderr)
        return 2
    table = {
        "laterality": laterality(args.data / "ner_maccrobat2020", train=args.train, errors=args.errors),
        "onset": onset(errors=args.errors),
        "expansion": expansion(errors=args.errors),
    }
    for name, row in table.items():
        print(f"{name:12}" + "  ".join(f"{k} {v}" for k, v in row.items()))
    if args.record and not args.train:
        RESULTS.write_text(json.dumps(table, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
