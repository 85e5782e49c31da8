"""The gate: whether a quantized bundle may replace the one on the shelf.

Three rules. A model that finds nothing on a named set has learned nothing, and no bundle need be there for it to be worse than.
Quantization may cost at most ``LARGEST_LOSS`` of F1 on any named set (static quantization has ruined such models unnoticed). And no
class may find less than it did: its recall may fall below the replaced bundle's by no more than chance explains (``margin_of``).
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import msgspec

Scores = dict[str, dict[str, float]]

#: Absolute loss of F1 (0 to 1) that int8 may cost against full precision.
LARGEST_LOSS: Final = 0.005
#: How far a class's recall may fall below the replaced bundle's, where the class is large enough to tell: two standard errors of a
#: recall of .8 over 1,600 mentions. For smaller classes it is two standard errors of theirs (``margin_of``).
MARGIN: Final = 0.02
#: Classes with fewer gold mentions than this move by more than the margin through one or two of them; they are shown, not judged.
LEAST_SUPPORT: Final = 50


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``reasons`` against (empty when passed); ``compared`` counts the figures that were judged."""

    passed: bool
    reasons: tuple[str, ...]
    compared: int


def margin_of(recall: float, support: float, least: float = MARGIN) -> float:
    """How far a recall over ``support`` mentions may fall: two standard errors of a share (binomial), at least ``least``."""
    return max(least, 2 * sqrt(recall * (1 - recall) / support))


def judge(full: Scores, quantized: Scores, replaced: Scores | None = None, *, margin: float = MARGIN) -> Verdict:
    """Judge a bundle by its scores.

    Args:
        full, quantized: scores of the same model before and after quantization, by set; sets with ``f1`` are compared.
        replaced: scores of the bundle on the shelf; sets with ``recall`` and enough ``support`` are compared.
    """
    reasons: list[str] = []
    compared = 0
    for name, figures in full.items():
        if "f1" not in figures or figures.get("support", LEAST_SUPPORT) < LEAST_SUPPORT or not name.endswith("-all"):
            continue
        compared += 1
        after = quantized.get(name, {}).get("f1", 0.0)
        if round(figures["f1"] - after, 6) > LARGEST_LOSS:
            reasons.append(f"{name}: F1 {figures['f1']:.4f} at full precision, {after:.4f} quantized")
        elif not after:
            reasons.append(f"{name}: F1 0, it has learned nothing")
    for name, figures in (replaced or {}).items():
        if "recall" not in figures or name not in quantized or quantized[name].get("support", 0) < LEAST_SUPPORT:
            continue
        compared += 1
        now, before = quantized[name].get("recall", 0.0), figures["recall"]
        allowed = margin_of(before, quantized[name]["support"], margin)
        if round(before - now, 6) > allowed:
            reasons.append(
                f"{name}: recall {now:.4f}, {before:.4f} in the bundle that it would replace; {allowed:.4f} may be lost"
            )
    if not compared:
        reasons.append("nothing to compare: no set with an F1")
    return Verdict(not reasons, tuple(reasons), compared)
