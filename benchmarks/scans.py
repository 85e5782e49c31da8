"""Scanned pages: what is read, what leaks, what it costs: ``python -m benchmarks.scans [--pages 60] [--record]``.

A page a record: the eight identifiers of a canary record in clinical sentences and two lines of medicine, drawn as print, as a fax of 100
dots per inch, as a fax that went in askew, and as a poor copy (dim, blurred, specked). The message's identity is known, as it is in the stream. *Leaks*: the identifier
as a reader reads it stands in the clean text; *garbled*: a word within two edits of one of its words of six letters or more does, which the reader of
scans misread and nobody recognised.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rapidfuzz.distance import OSA

from agents.deidentify.step import make_deidentifier
from benchmarks.canaries import Canary, canaries
from benchmarks.leaks import PLAIN, leaks
from schemas.errors import MalformedMessage
from schemas.scan import UNREAD, paint_scan, read_scan, reader_version
from streams.settings import Deid, Settings

RESULTS = Path(__file__).with_name("results") / "scans.json"
MEDICINE = (
    "Metformin 500 mg twice daily, lisinopril 20 mg daily.",
    "Potassium 5.9 mmol/L, creatinine 2.1 mg/dL, blood pressure 120/80.",
)
TERMS = ("metformin", "lisinopril", "potassium", "creatinine", "pressure")


def drawn(lines: list[str]) -> Image.Image:
    image = Image.new("L", (1700, 60 * len(lines) + 200), 255)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=28)
    for number, line in enumerate(lines):
        pen.text((80, 80 + 60 * number), line, fill=0, font=font)
    return image


def fax(image: Image.Image) -> Image.Image:
    half = image.resize((image.width // 2, image.height // 2))
    return half.point([0 if shade < 150 else 255 for shade in range(256)]).resize(image.size)


def poor(image: Image.Image) -> Image.Image:
    dim = image.filter(ImageFilter.GaussianBlur(1.8)).point([90 + shade * 165 // 255 for shade in range(256)])
    pen, dice = ImageDraw.Draw(dim), random.Random(3)
    for _ in range(4000):
        pen.point((dice.randrange(dim.width), dice.randrange(dim.height)), fill=dice.randrange(255))
    return dim


QUALITIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "print": lambda image: image,
    "fax, 100 dpi": fax,
    "fax, askew by 1.2 degrees": lambda image: fax(image.rotate(1.2, fillcolor=255)),
    "poor copy": poor,
}


def garbled(row: Canary, clean: str) -> bool:
    words = [word for word in row.written.casefold().split() if len(word) >= 6 and word.isalpha() and word not in PLAIN]
    return any(OSA.distance(word, other.strip(".,;:'")) <= 2 for word in words for other in clean.casefold().split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    step = make_deidentifier(Settings(deid=Deid(use_model=True)))
    rows = [row for row in canaries(arguments.pages, arguments.seed) if row.variant == "plain"]
    pages = [list(group) for _, group in groupby(rows, key=lambda row: id(row.identity))]
    table: dict[str, dict[str, float]] = {}
    for quality, spoil in QUALITIES.items():
        count: dict[str, float] = defaultdict(float)
        for page in pages:
            out = io.BytesIO()
            spoil(drawn([*(row.text.replace("\n", " ") for row in page), *MEDICINE])).save(out, "PNG")
            begun = time.perf_counter()
            try:
                scan = read_scan(out.getvalue(), "image/png")
            except MalformedMessage:
                scan = None
            count["seconds"] += time.perf_counter() - begun
            if scan is None:
                count["pages withheld"] += 1
                continue
            clean, spans = step.text(scan.text, page[0].identity)
            try:
                shown = read_scan(*paint_scan(scan, [(one.start, one.end) for one in spans]))
            except MalformedMessage:
                shown = None
            for row in page:
                count["identifiers"] += 1
                count["read as written"] += leaks(row, scan.text)
                count["leaks in the text"] += leaks(row, clean)
                count["garbled in the text"] += not leaks(row, clean) and garbled(row, clean)
                count["leaks in the picture"] += shown is not None and leaks(row, shown.text)
            count["terms"] += len(TERMS)
            count["terms kept"] += sum(term in clean.casefold() for term in TERMS)
            count["words"] += len(scan.words)
            count["words unread"] += scan.text.count(UNREAD)
        table[quality] = {name: round(value, 2) for name, value in count.items()} | {
            "seconds a page": round(count["seconds"] / len(pages), 2)
        }
        print(quality, json.dumps(table[quality]), flush=True)
    if arguments.record:
        found = {"reader": reader_version(), "policy": step.policy_version, "pages": len(pages), "by quality": table}
        RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
