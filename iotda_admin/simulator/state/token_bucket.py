"""A token bucket."""

import time


class TokenBucket:
    def __init__(self) -> None:
        self._tokens: float | None = None  # None: full
        self._updated = 0.0

    def take(self, rate: float, burst: float) -> float:
        """Take a token. Returns 0, or the seconds until the next one.

        A rate of 0 is no limit.
        """
        if not rate:
            return 0
        now, size = time.monotonic(), max(burst or rate, 1.0)
        tokens = size if self._tokens is None else self._tokens
        tokens = min(size, tokens + (now - self._updated) * rate)
        self._updated = now
        self._tokens = tokens - 1 if tokens >= 1 else tokens
        return 0 if tokens >= 1 else (1 - tokens) / rate
