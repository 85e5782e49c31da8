"""Overlapping windows over long texts, and which window speaks for which piece.

Every piece is judged by the window in which it stands farther from an inner edge, that is: neighbouring windows share
``overlap`` pieces and the first half of these belongs to the earlier one. Depends on the text alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Pieces ``[start, end)`` are seen; the answers for ``[own_start, own_end)`` count. Owned ranges tile the text."""

    start: int
    end: int
    own_start: int
    own_end: int


def windows(pieces: int, size: int, overlap: int) -> list[Window]:
    """Windows of at most ``size`` pieces (special tokens not counted) over ``pieces``; ``overlap`` is even and < size / 2."""
    if pieces <= size:
        return [Window(0, pieces, 0, pieces)] if pieces else []
    step = size - overlap
    starts = list(range(0, pieces - overlap, step))
    found: list[Window] = []
    own = 0
    for k, start in enumerate(starts):
        end = min(start + size, pieces)
        own_end = pieces if k == len(starts) - 1 else end - overlap // 2
        found.append(Window(start, end, own, own_end))
        own = own_end
    return found
