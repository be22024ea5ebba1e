"""The token bucket of the whole API."""

import math
import time

from .errors import throttled


class Bucket:
    def __init__(self) -> None:
        self._left: float | None = None
        self._at = 0.0

    def take(self, rate: float, burst: float) -> None:
        """Refuses when nothing is left. A rate of 0 is no limit."""
        if not rate:
            return
        now, room = time.monotonic(), max(burst or rate, 1.0)
        left = room if self._left is None else self._left
        left = min(room, left + (now - self._at) * rate)
        self._at = now
        if left < 1:
            self._left = left
            raise throttled(math.ceil((1 - left) / rate))
        self._left = left - 1
