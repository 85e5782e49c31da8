"""What start-up made stays until the end: the garbage collector need not look at it again and again."""

from __future__ import annotations

import gc

#: Allocations between two looks at the youngest objects, and looks between those at older ones. A batch of messages is some hundred thousand objects
#: that live a moment; the interpreter's 700 costs a quarter of de-identification.
_THRESHOLDS = (20_000, 20, 50)


def started() -> None:
    """Call once when everything is loaded and before the work begins."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
