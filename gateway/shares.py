"""What one sender may have in flight at a door, over all its connections: one that floods fills its own share, and never what others need.

A sender is who its client certificate says, else the bearer token, else the address that it calls from.
"""

from __future__ import annotations

from collections import Counter


class Shares:
    """Counts by sender. ``most``: records of one sender that may be worked on at one time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def take(self, sender: str) -> bool:
        """Whether there was room for one more; what was taken is given back with ``give``."""
        if self._taken[sender] >= self._most:
            return False
        self._taken[sender] += 1
        return True

    def give(self, sender: str, count: int = 1) -> None:
        self._taken[sender] -= count
        if self._taken[sender] <= 0:
            del self._taken[sender]  # nobody is remembered
