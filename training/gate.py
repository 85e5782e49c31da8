"""The gate: whether a quantized bundle may replace the one on the shelf.

Two rules. Quantization may cost at most ``LARGEST_LOSS`` of F1 on any named set (static quantization has ruined such models
unnoticed). And no class may find less than it did: its recall may fall below the replaced bundle's by ``MARGIN`` at the most.
"""

from __future__ import annotations

from typing import Final

import msgspec

Scores = dict[str, dict[str, float]]

#: Absolute loss of F1 (0 to 1) that int8 may cost against full precision.
LARGEST_LOSS: Final = 0.005
#: How far a class's recall may fall below the replaced bundle's: two standard errors of a recall of .8 over 1,600 mentions.
MARGIN: Final = 0.02
#: Classes with fewer gold mentions than this move by more than the margin through one or two of them; they are shown, not judged.
LEAST_SUPPORT: Final = 50


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``reasons`` against (empty when passed); ``compared`` counts the figures that were judged."""

    passed: bool
    reasons: tuple[str, ...]
    compared: int


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
    for name, figures in (replaced or {}).items():
        if "recall" not in figures or name not in quantized or quantized[name].get("support", 0) < LEAST_SUPPORT:
            continue
        compared += 1
        now = quantized[name].get("recall", 0.0)
        if round(figures["recall"] - now, 6) > margin:
            reasons.append(f"{name}: recall {now:.4f}, {figures['recall']:.4f} in the bundle that it would replace")
    if not compared:
        reasons.append("nothing to compare: no set with an F1")
    return Verdict(not reasons, tuple(reasons), compared)
