"""Whether a tagger answers here as it did where it was made: the golden answers of its bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.bundle import Manifest
from models.session import Execution
from models.tagger import Tagger
from schemas.errors import ConfigurationError

GOLDEN = "golden.json"


def opened_and_tried(folder: Path, manifest: Manifest, execution: Execution) -> Tagger:
    """The verified bundle in ``folder``, ready to serve.

    Raises:
        ConfigurationError: it does not load, or answers otherwise than where it was made.
    """
    tagger = Tagger(folder, manifest, execution)
    try:
        refuse_other_answers(folder, tagger)
    except BaseException:
        tagger.close()
        raise
    return tagger


def refuse_other_answers(folder: Path, tagger: Tagger) -> None:
    """Run every golden input, which warms the sessions up too.

    Raises:
        ConfigurationError: there are none, or spans differ, or scores by more than the file's tolerance (processors round int8
            products differently). Logits are not judged: of the shipped entity bundle a single one was seen 0.96 away on a processor
            on which every span and score held, and a result carries spans and scores only.
    """
    path = folder / GOLDEN
    try:
        golden = json.loads(path.read_text(encoding="utf-8"))
        cases = golden["cases"]
        held = bool(cases) and all(_holds(tagger, case, golden["score_tolerance"]) for case in cases)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ConfigurationError(path=str(path), detail="no readable golden answers") from error
    if not held:
        raise ConfigurationError(path=str(path), detail="this bundle answers otherwise than where it was made")


def _holds(tagger: Tagger, case: dict[str, Any], tolerance: float) -> bool:
    found = tagger.tag(case["text"])
    return len(found) == len(case["spans"]) and all(
        [span.start, span.end, span.label] == row[:3] and abs(span.score - row[3]) <= tolerance
        for span, row in zip(found, case["spans"], strict=True)
    )
