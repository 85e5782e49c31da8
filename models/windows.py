"""Windows over long texts, and which window speaks for which piece. Depends on the text alone.

A window ends at the last line or sentence end in its second half, where nothing that belongs together is cut and nothing needs to
be seen twice. Where there is none, neighbouring windows share ``overlap`` pieces, and every piece is judged by the window in which it
stands farther from an inner edge: the first half of the shared pieces belongs to the earlier window.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Pieces ``[start, end)`` are seen; the answers for ``[own_start, own_end)`` count. Owned ranges tile the text."""

    start: int
    end: int
    own_start: int
    own_end: int


def windows(pieces: int, size: int, overlap: int, breaks: Sequence[Sequence[int]] = ()) -> list[Window]:
    """Windows of at most ``size`` pieces (special tokens not counted) over ``pieces``.

    Args:
        overlap: shared pieces where no break helps; even and < size / 2.
        breaks: piece numbers at which a window may begin anew, best kind first (line ends, then sentence ends), each ascending.
    """
    found: list[Window] = []
    start = own = 0
    while own < pieces:
        end = min(start + size, pieces)
        if end == pieces:
            found.append(Window(start, end, own, end))
            break
        cut = _cut(max(own, start + size // 2), end, breaks)
        if cut is not None:
            found.append(Window(start, cut, own, cut))
            start = own = cut
        else:
            own_end = end - overlap // 2
            found.append(Window(start, end, own, own_end))
            start, own = end - overlap, own_end
    return found


def _cut(after: int, until: int, breaks: Sequence[Sequence[int]]) -> int | None:
    for kind in breaks:
        position = bisect_right(kind, until) - 1
        if position >= 0 and kind[position] > after:
            return kind[position]
    return None
