"""What serves now, and how it is exchanged while it serves: users borrow, a swap waits for nobody, the last user closes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> None:
        """End threads and sessions."""


T = TypeVar("T", bound=Closable)


class _Held(Generic[T]):
    def __init__(self, thing: T) -> None:
        self.thing, self.users, self.retired = thing, 0, False


class Serving(Generic[T]):
    """Holds one opened thing. Safe from several threads: whoever has borrowed keeps what was current then, until given back."""

    def __init__(self, first: T) -> None:
        self._lock = threading.Lock()
        self._current: _Held[T] = _Held(first)

    @contextmanager
    def borrowed(self) -> Iterator[T]:
        """The current thing, open as long as the block lasts."""
        with self._lock:
            held = self._current
            held.users += 1
        try:
            yield held.thing
        finally:
            with self._lock:
                held.users -= 1
                last = held.retired and not held.users
            if last:
                held.thing.close()

    def swap(self, new: T) -> None:
        """From now on ``new`` is lent; the old one is closed when its last borrower is done (at once where there is none)."""
        with self._lock:
            old, self._current = self._current, _Held(new)
            old.retired = True
            idle = not old.users
        if idle:
            old.thing.close()

    def close(self) -> None:
        """Close the current one when its last borrower is done. Borrow nothing afterwards."""
        with self._lock:
            held = self._current
            already, held.retired = held.retired, True
            idle = not already and not held.users
        if idle:
            held.thing.close()
