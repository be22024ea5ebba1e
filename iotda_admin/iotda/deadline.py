"""How much time a call has left, known to every socket operation made on its behalf."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


class Budget:
    """The time of one call, and whether its first byte may have left."""

    __slots__ = ("ends", "sent", "started")

    def __init__(self, seconds: float, outer: "Budget | None" = None) -> None:
        self.started = monotonic()
        self.ends = self.started + seconds
        if outer is not None:
            self.ends = min(self.ends, outer.ends)
        self.sent = False

    def left(self) -> float:
        """Seconds left; TimeoutError when there are none (a timeout of 0 would mean "do not block")."""
        left = self.ends - monotonic()
        if left <= 0:
            raise TimeoutError("deadline passed")
        return left

    @property
    def spent(self) -> bool:
        return monotonic() >= self.ends


class _Current(threading.local):
    budget: Budget | None = None


_current = _Current()


def current() -> Budget | None:
    """The budget of the call this thread is making."""
    return _current.budget


@contextmanager
def budget(seconds: float) -> Iterator[Budget]:
    """Give this thread `seconds` for what follows; inside another budget, never more than that one has."""
    outer = _current.budget
    _current.budget = mine = Budget(seconds, outer)
    try:
        yield mine
    finally:
        _current.budget = outer
