"""Every bundle on the shelf opens as what it is, and answers as it did where it was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.bundle import SHELF, load_manifest, shelf_bundle
from models.classifier import Classifier
from models.generator import Generator
from models.tagger import Tagger

FOLDERS = [shelf_bundle(path.name) for path in sorted(SHELF.iterdir())]


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.parent.name for folder in FOLDERS])
def test_golden_answers_hold(folder: Path) -> None:
    """Spans, probabilities or texts as recorded; scores within the recorded tolerance, since CPUs round int8 products differently."""
    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    tolerance = golden["score_tolerance"]
    assert golden["cases"]
    task = load_manifest(folder).task
    if task == "token-classification":
        with Tagger.load(folder) as tagger:
            for case in golden["cases"]:
                found = tagger.tag(case["text"])
                assert [[s.start, s.end, s.label] for s in found] == [row[:3] for row in case["spans"]]
    elif task == "text-classification":
        with Classifier.load(folder) as classifier:
            for case in golden["cases"]:
                assert classifier.classify(case["text"], case["numbers"]) == pytest.approx(case["probabilities"], abs=tolerance)
    else:
        with Generator.load(folder) as generator:
            assert [generator.generate(case["text"]) for case in golden["cases"]] == [case["written"] for case in golden["cases"]]
