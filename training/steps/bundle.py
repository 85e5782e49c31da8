"""``wardstream bundle``: gate, card, signature, shelf."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from models.bundle import load_manifest, shelf_bundle
from models.signature import KEYS
from models.store import digest_of
from schemas.errors import ConfigurationError
from training import seen
from training.bundle import make
from training.evaluation import scores_of_bundle
from training.gate import MARGIN, Scores, Verdict, judge
from training.recipe import Recipe
from training.steps.evaluate import SCORES


def release(
    recipe: Recipe,
    *,
    version: str,
    key: Path,
    shelf: Path,
    margin: float | None = None,
    fp16: bool = False,
    trusted_keys: Path = KEYS,
) -> tuple[Verdict, Path | None]:
    """Judge the evaluated checkpoint and, when it passes, place its bundle on the shelf.

    Args:
        key: signs the new bundle.
        margin: how far a class's recall may fall below the replaced bundle's at least (``training.gate.margin_of``); ``MARGIN`` when not
            given.
        trusted_keys: folder of the public keys that the replaced bundle may be signed with.

    Returns:
        The verdict, and the bundle's folder; no folder when the gate refused.

    Raises:
        ConfigurationError: the checkpoint was not evaluated at full precision and quantized.
        StoreUnavailable: the bundle is on the shelf, and a store that it learned from has not been told: make it again.
    """
    scores = _scores(recipe.checkpoint / SCORES)
    replaced = _replaced(recipe, version, shelf, trusted_keys)
    verdict = judge(scores["onnx"], scores["int8"], replaced, margin=MARGIN if margin is None else margin)
    if not verdict.passed:
        return verdict, None
    folder = make(recipe, version, shelf, scores=scores["int8"], gate=verdict, key=key, fp16=fp16)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    seen.record(recipe.checkpoint, digest_of(folder), name=recipe.bundle, version=version, time=now)
    return verdict, folder


def _scores(path: Path) -> dict[str, Scores]:
    found: dict[str, Scores] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not {"onnx", "int8"} <= set(found):
        raise ConfigurationError(path=str(path), detail="evaluate the exported and the quantized graph first")
    return found


def _replaced(recipe: Recipe, version: str, shelf: Path, trusted_keys: Path) -> Scores | None:
    """Scores of the newest other version on the shelf, measured anew; none for a first bundle."""
    try:
        folder = shelf_bundle(recipe.bundle, shelf, but=version)
    except ConfigurationError:
        return None
    return scores_of_bundle(folder, load_manifest(folder, trusted_keys=trusted_keys), recipe)
