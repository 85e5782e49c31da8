"""Whether a tagger answers here as it did where it was made: the golden answers of its bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from models.tagger import Tagger
from schemas.errors import ConfigurationError

GOLDEN = "golden.json"


def refuse_other_answers(folder: Path, tagger: Tagger) -> None:
    """Run every golden input, which warms the sessions up too.

    Raises:
        ConfigurationError: there are none, or spans, scores or logits differ by more than the file's tolerances (processors round
            int8 products a little differently).
    """
    path = folder / GOLDEN
    try:
        golden = json.loads(path.read_text(encoding="utf-8"))
        cases = golden["cases"]
        held = bool(cases) and all(_holds(tagger, case, golden["tolerance"], golden["score_tolerance"]) for case in cases)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ConfigurationError(path=str(path), detail="no readable golden answers") from error
    if not held:
        raise ConfigurationError(path=str(path), detail="this bundle answers otherwise than where it was made")


def _holds(tagger: Tagger, case: dict[str, list[list[float]]], tolerance: float, score_tolerance: float) -> bool:
    text = str(case["text"])
    logits, wanted = tagger.logits(text), np.array(case["logits"])
    if len(logits) < len(wanted) or np.abs(logits[: len(wanted)] - wanted).max(initial=0) > tolerance:
        return False
    found = tagger.tag(text)
    return len(found) == len(case["spans"]) and all(
        [span.start, span.end, span.label] == row[:3] and abs(span.score - row[3]) <= score_tolerance
        for span, row in zip(found, case["spans"], strict=True)
    )
