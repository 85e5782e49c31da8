"""What leaks from free text: ``python -m benchmarks.leaks [--records 50] [--peers-python PYTHON] [--philter-python PYTHON] [--record]``.

Canary texts (``benchmarks.canaries``) through the layers of the product, with and without the identity of their message and with and without
the model, and through Presidio with all its recognizers: leaks by kind and variant, clinical terms kept in ACI-Bench notes, notes a second of
processor time. Philter (``benchmarks.philter_child``) reads four notes a second, so ``same texts`` compares all sides on the canaries of the
first ``--shared`` records and the first ``--shared-notes`` notes. A canary leaks when a reader who undoes every disguise of the output finds one of its words (three letters and more), five digits of
its number in a row, or the whole of it.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import html
import json
import re
import subprocess
import sys
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.deidentify.policy import load_policy
from agents.deidentify.step import Deidentifier, make_deidentifier
from benchmarks.annotate_peers import notes
from benchmarks.canaries import PEOPLE, Canary, canaries
from benchmarks.public_data import data_folder
from models.bundle import shelf_bundle
from models.tagger import Tagger
from schemas.identity import MessageIdentity
from streams.settings import Settings

RESULTS = Path(__file__).with_name("results") / "leaks.json"
#: Words of a street or a name that name nobody.
PLAIN = frozenset(["road", "street", "avenue", "lane", "mail", "example"])
_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
_ESCAPED = re.compile(r"\\'([0-9a-fA-F]{2})|\\X([0-9A-Fa-f]{2})\\")
_LOOKALIKES = str.maketrans("аеосрхіАВЕКМНОРСТХ", "aeocpxiABEKMHOPCTX")
_TERMS = frozenset(["problem", "finding", "medication", "dosage", "test", "value"])


@dataclass(frozen=True, slots=True)
class Done:
    """Clean texts, what was taken out of each in offsets of the original, seconds of processor time without loading."""

    texts: list[str]
    spans: list[list[tuple[int, int]]]
    seconds: float


Scrub = Callable[[Sequence[Canary]], Done]


def _undone(text: str) -> str:
    """The text with disguises undone; written apart from the product's own code on purpose."""
    import unicodedata

    text = _ESCAPED.sub(lambda m: chr(int(m[1] or m[2], 16)), text)
    text = html.unescape(urllib.parse.unquote(re.sub(r"</?b>", "", text)))
    text = "".join(
        c for c in unicodedata.normalize("NFKD", text.translate(_LOOKALIKES)) if unicodedata.category(c) not in ("Cf", "Mn")
    )
    return "".join(str(unicodedata.digit(c)) if unicodedata.category(c) == "Nd" else c for c in text).casefold()


def _decoded(text: str) -> str:
    found = []
    for match in _BASE64.finditer(text):
        try:
            found.append(base64.b64decode(match[0] + "=" * (-len(match[0].rstrip("=")) % 4)).decode("utf-8"))
        except (binascii.Error, ValueError):
            continue
    return " ".join(found)


def leaks(canary: Canary, clean: str) -> bool:
    """Whether ``clean`` still tells the canary's identifier."""
    plain = _undone(clean) + " " + _undone(_decoded(clean))
    squeezed = "".join(c for c in plain if c.isalnum())
    written = canary.written.casefold()
    if "".join(c for c in written if c.isalnum()) in squeezed:
        return True
    if canary.kind in PEOPLE or canary.kind in ("email", "street"):
        words = {w for w in re.findall(r"[a-z]{3,}", written) if w not in PLAIN}
        return not words.isdisjoint(re.findall(r"[a-z]+", plain)) or any(len(w) > 5 and w in squeezed for w in words)
    digits = "".join(c for c in written if c.isdigit())
    left = "".join(c if c.isdigit() else " " for c in re.sub(r"[\s().-]", "", plain))
    return any(digits[k : k + 5] in left for k in range(len(digits) - 4))


def ours(step: Deidentifier, *, known: bool) -> Scrub:
    def run(rows: Sequence[Canary]) -> Done:
        begun = time.process_time()
        found = [step.text(row.text, row.identity if known else None) for row in rows]
        seconds = time.process_time() - begun
        return Done([text for text, _ in found], [[(r.start, r.end) for r in spans] for _, spans in found], seconds)

    return run


def peer(python: Path, child: str) -> Scrub:
    """A peer in its own environment (``benchmarks.presidio_child``, ``benchmarks.philter_child``)."""

    def run(rows: Sequence[Canary]) -> Done:
        done = subprocess.run(
            [str(python), "-O", str(Path(__file__).with_name(f"{child}.py"))],
            input=json.dumps([row.text for row in rows]), stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        return Done(found["texts"], found["spans"], found["seconds"])

    return run


def table(rows: Sequence[Canary], clean: Sequence[str]) -> dict[str, dict[str, float]]:
    """Share of leaks by kind and variant, ``all`` over each."""
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row, text in zip(rows, clean, strict=True):
        leaked = leaks(row, text)
        for key in ((row.kind, row.variant), (row.kind, "all")):
            hits[key].append(leaked)
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for (kind, variant), values in hits.items():
        found[kind][variant] = round(sum(values) / len(values), 4)
    return found


Terms = list[list[tuple[int, int]]]


def terms_of(texts: Sequence[str]) -> Terms:
    """Mentions of the entity model, score .8 and more: problems, findings, drugs, doses, tests, values."""
    with Tagger.load(shelf_bundle("wardstream-entities")) as tagger:
        found = tagger.tag_many(texts)
    return [[(span.start, span.end) for span in spans if span.label in _TERMS and span.score >= 0.8] for spans in found]


def terms_kept(terms: Terms, done: Done) -> dict[str, float]:
    """Share of the mentions that nothing taken out touches."""
    kept = [
        not any(start < to and end > at for at, to in gone)
        for spans, gone in zip(terms, done.spans, strict=True)
        for start, end in spans
    ]
    return {"terms": len(kept), "kept": round(sum(kept) / len(kept), 5)}


def per_second(scrub: Scrub, texts: Sequence[str], rounds: int = 2) -> tuple[float, Done]:
    """Notes a second of processor time, the best round."""
    rows = [Canary("", "", text, "", MessageIdentity()) for text in texts]
    best = min((scrub(rows) for _ in range(rounds)), key=lambda done: done.seconds)
    return round(len(texts) / best.seconds, 1), best


def shares(groups: Sequence[str], leaking: Sequence[bool]) -> dict[str, float]:
    """Share of leaks in each group."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for group, leaked in zip(groups, leaking, strict=True):
        hits[group].append(leaked)
    return {group: round(sum(found) / len(found), 4) for group, found in hits.items()}


def same_texts(sides: dict[str, Scrub], rows: Sequence[Canary], texts: Sequence[str], terms: Terms) -> dict[str, object]:
    """Leaks by kind and variant, clinical terms kept and speed of every side on the same canaries and notes."""
    found: dict[str, object] = {"texts": len(rows), "notes": len(texts)}
    for name, scrub in sides.items():
        done = scrub(rows)
        speed, read = per_second(scrub, texts, rounds=1)
        leaking = [leaks(row, text) for row, text in zip(rows, done.texts, strict=True)]
        found[name] = {
            "leaks": sum(leaking),
            "by kind": shares([row.kind for row in rows], leaking),
            "by variant": shares([row.variant for row in rows], leaking),
            "clinical terms": terms_kept(terms, read),
            "notes per second": speed,
        }
        print(f"same texts, {name}: {sum(leaking)} of {len(rows)} leak, {terms_kept(terms, read)}, {speed} notes/s", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--peers-python", type=Path, help="Python of an environment with Presidio; left out when not given")
    parser.add_argument("--philter-python", type=Path, help="Python of an environment with Philter; left out when not given")
    parser.add_argument("--shared", type=int, default=12, help="records of the comparison with every peer")
    parser.add_argument("--shared-notes", type=int, default=40, help="notes of the comparison with every peer")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--show", type=int, default=0, help="print so many texts that leaked")
    arguments = parser.parse_args()
    rows = list(canaries(arguments.records, arguments.seed))
    rules, whole = Deidentifier(load_policy("safe_harbor")), make_deidentifier(Settings())
    sides: dict[str, Scrub] = {
        "known, no model": ours(rules, known=True),
        "known, model": ours(whole, known=True),
        "unknown, model": ours(whole, known=False),
    }
    if arguments.peers_python:
        sides["Presidio"] = peer(arguments.peers_python, "presidio_child")
    result: dict[str, object] = {"records": arguments.records, "texts": len(rows), "policy": whole.policy_version}
    for name, scrub in sides.items():
        clean = scrub(rows).texts
        result[name] = found = table(rows, clean)
        print(f"\n{name}: share of texts that leak")
        for kind, by_variant in found.items():
            worst = sorted(((v, k) for k, v in by_variant.items() if v and k != "all"), reverse=True)
            print(f"  {kind:10} {by_variant['all']:.4f}  " + ", ".join(f"{k} {v:.2f}" for v, k in worst[:9]))
        for row, text in [(r, t) for r, t in zip(rows, clean, strict=True) if leaks(r, t)][: arguments.show]:
            print(f"    {row.kind}/{row.variant}: {text!r}")
    texts = notes(arguments.data)
    terms = terms_of(texts)
    alone = {"without model": ours(rules, known=False), "with model": ours(whole, known=False)}
    result["clinical terms"] = terms_kept(terms, per_second(alone["with model"], texts, rounds=1)[1])
    result["notes per second"] = {
        "without model": per_second(alone["without model"], texts)[0],
        "with model": per_second(alone["with model"], texts[:30])[0],
    }
    print(json.dumps({k: result[k] for k in ("clinical terms", "notes per second")}))
    if arguments.philter_python:
        sides = {"no model": alone["without model"], **sides, "Philter": peer(arguments.philter_python, "philter_child")}
        few = list(canaries(arguments.shared, arguments.seed))
        result["same texts"] = same_texts(sides, few, texts[: arguments.shared_notes], terms[: arguments.shared_notes])
    if arguments.record:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
