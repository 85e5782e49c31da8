"""What leaks from free text: ``python -m benchmarks.leaks [--records 50] [--peers-python .venv-bench/bin/python] [--record]``.

Canary texts (``benchmarks.canaries``) through the layers of the product, with and without the identity of their message and with and without
the model, and through Presidio with all its recognizers: leaks by kind and variant, clinical terms kept in ACI-Bench notes, notes a second of
processor time. A canary leaks when a reader who undoes every disguise of the output finds one of its words (three letters and more), five digits of
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
from pathlib import Path

from agents.deidentify.policy import load_policy
from agents.deidentify.step import Deidentifier, make_deidentifier
from benchmarks.annotate_peers import notes
from benchmarks.canaries import PEOPLE, Canary, canaries
from benchmarks.public_data import data_folder
from models.bundle import shelf_bundle
from models.tagger import Tagger
from streams.settings import Settings

RESULTS = Path(__file__).with_name("results") / "leaks.json"
#: Words of a street or a name that name nobody.
_PLAIN = frozenset(["road", "street", "avenue", "lane", "mail", "example"])
_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
_ESCAPED = re.compile(r"\\'([0-9a-fA-F]{2})|\\X([0-9A-Fa-f]{2})\\")
_LOOKALIKES = str.maketrans("аеосрхіАВЕКМНОРСТХ", "aeocpxiABEKMHOPCTX")
_TERMS = frozenset(["problem", "finding", "medication", "dosage", "test", "value"])
Scrub = Callable[[Sequence[Canary]], list[str]]


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
        words = {w for w in re.findall(r"[a-z]{3,}", written) if w not in _PLAIN}
        return not words.isdisjoint(re.findall(r"[a-z]+", plain)) or any(len(w) > 5 and w in squeezed for w in words)
    digits = "".join(c for c in written if c.isdigit())
    left = "".join(c if c.isdigit() else " " for c in re.sub(r"[\s().-]", "", plain))
    return any(digits[k : k + 5] in left for k in range(len(digits) - 4))


def ours(step: Deidentifier, *, known: bool) -> Scrub:
    return lambda rows: [step.text(row.text, row.identity if known else None)[0] for row in rows]


def presidio(python: Path) -> Scrub:
    """Presidio in its own environment, all predefined recognizers, its default anonymizer."""

    def run(rows: Sequence[Canary]) -> list[str]:
        done = subprocess.run(
            [str(python), str(Path(__file__).with_name("presidio_child.py"))],
            input=json.dumps([row.text for row in rows]), capture_output=True, text=True, check=True,
        )  # fmt: skip
        found: list[str] = json.loads(done.stdout.splitlines()[-1])
        return found

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


def terms_kept(step: Deidentifier, texts: Sequence[str]) -> dict[str, float]:
    """Share of the mentions of the entity model (score .8 and more; problems, findings, drugs, doses, tests, values) that no redaction touches."""
    kept = total = 0
    with Tagger.load(shelf_bundle("wardstream-entities")) as tagger:
        for text, spans in zip(texts, tagger.tag_many(texts), strict=True):
            redactions = step.text(text)[1]
            for span in spans:
                if span.label in _TERMS and span.score >= 0.8:
                    total += 1
                    kept += not any(r.start < span.end and r.end > span.start for r in redactions)
    return {"terms": total, "kept": round(kept / total, 5)}


def notes_per_second(step: Deidentifier, texts: Sequence[str]) -> float:
    """Notes a second of processor time, the better of two rounds."""
    best = 0.0
    for _ in range(2):
        begun = time.process_time()
        for text in texts:
            step.text(text)
        best = max(best, len(texts) / (time.process_time() - begun))
    return round(best, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--peers-python", type=Path, help="Python of an environment with Presidio; left out when not given")
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
        sides["Presidio"] = presidio(arguments.peers_python)
    result: dict[str, object] = {"records": arguments.records, "texts": len(rows), "policy": whole.policy_version}
    for name, scrub in sides.items():
        clean = scrub(rows)
        result[name] = found = table(rows, clean)
        print(f"\n{name}: share of texts that leak")
        for kind, by_variant in found.items():
            worst = sorted(((v, k) for k, v in by_variant.items() if v and k != "all"), reverse=True)
            print(f"  {kind:10} {by_variant['all']:.4f}  " + ", ".join(f"{k} {v:.2f}" for v, k in worst[:9]))
        for row, text in [(r, t) for r, t in zip(rows, clean, strict=True) if leaks(r, t)][: arguments.show]:
            print(f"    {row.kind}/{row.variant}: {text!r}")
    texts = notes(arguments.data)
    result["clinical terms"] = terms_kept(whole, texts)
    result["notes per second"] = {
        "without model": notes_per_second(rules, texts),
        "with model": notes_per_second(whole, texts[:30]),
    }
    print(json.dumps({k: result[k] for k in ("clinical terms", "notes per second")}))
    if arguments.record:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
