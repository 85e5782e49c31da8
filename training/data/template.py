"""Templates with slots: ``"{medication} {dosage} po"`` and a way to fill each slot become text with exact gold spans."""

from __future__ import annotations

import re
from collections.abc import Callable

from training.data.document import GoldSpan

_SLOT = re.compile(r"\{([A-Za-z_]+)\}")


def fill(template: str, value_of: Callable[[str], tuple[str, str | None]]) -> tuple[str, list[GoldSpan]]:
    """Fill each ``{slot}``; ``value_of(slot)`` gives its text and its label (``None``: text without a label)."""
    parts: list[str] = []
    spans: list[GoldSpan] = []
    at = last = 0
    for match in _SLOT.finditer(template):
        plain = template[last : match.start()]
        value, label = value_of(match.group(1))
        at += len(plain)
        parts += (plain, value)
        if label and value:
            spans.append(GoldSpan(at, at + len(value), (label,)))
        at += len(value)
        last = match.end()
    parts.append(template[last:])
    return "".join(parts), spans


def recase(text: str, spans: list[GoldSpan], to: Callable[[str], str]) -> tuple[str, list[GoldSpan]]:
    """Upper- or lower-case a text where that keeps its length (else it stays: offsets must hold)."""
    changed = to(text)
    return (changed, spans) if len(changed) == len(text) else (text, spans)
