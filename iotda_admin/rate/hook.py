"""The rate limiter of the client: one rate for all processes."""

import time

from django.conf import settings
from django.utils.translation import ngettext

from iotda_admin.core import metrics
from iotda_admin.iotda import Throttled
from iotda_admin.rate import store
from iotda_admin.rate.limiter import TokenBucket
from iotda_admin.rate.limits import account_limit
from iotda_admin.rate.own_connection import TIMEOUT_SECONDS, StoreUnavailable
from iotda_admin.rate.store import SlotTooFar

# The pause when IoTDA throttles a call without a Retry-After.
DEFAULT_PAUSE_SECONDS = 1.0


class PlatformBusy(Throttled):
    """No call was made for a page: other calls have the places or the rate."""

    busy = True


class SharedRateLimiter:
    """The client's `RateLimiter`, with metrics. IOTDA_RATE = 0 turns it off."""

    wait_share = 1.0  # of IOTDA_DEADLINE
    store_seconds = TIMEOUT_SECONDS
    error: type[Throttled] = Throttled
    yields = False  # to calls of other limiters

    def __init__(self) -> None:
        self._bucket = TokenBucket(self.store_seconds, yields=self.yields)

    def acquire(self, operation: str) -> None:
        """Wait for a slot, at most IOTDA_DEADLINE seconds.

        Raises `error`, and takes no slot, if the next one is further away.
        """
        if not settings.IOTDA_RATE:
            return
        limit, started = account_limit(), time.perf_counter()
        try:
            self._bucket.take(limit, self.wait_share * settings.IOTDA_DEADLINE)
        except SlotTooFar as far:
            metrics.RATE_REFUSED.inc()
            message = limit_reached(limit.rate, far.seconds)
            raise self.error(
                message,
                operation=operation,
                retryable=True,
                retry_after=far.seconds,
            ) from None
        finally:
            metrics.RATE_SECONDS.inc(time.perf_counter() - started)

    def throttled(self, operation: str, retry_after: float | None) -> None:
        """Pause all processes for `retry_after` seconds."""
        metrics.THROTTLED.inc()
        if settings.IOTDA_RATE:
            self._bucket.pause(account_limit(), retry_after or DEFAULT_PAUSE_SECONDS)


class YieldingRateLimiter(SharedRateLimiter):
    """The limiter of reads that nothing waits for: changes go first."""

    yields = True


class PageRateLimiter(YieldingRateLimiter):
    """The limiter of pages, which wait only briefly for a slot."""

    wait_share = 0.1
    store_seconds = 0.1
    error = PlatformBusy


def limit_reached(rate: float, seconds: float) -> str:
    text = ngettext(
        "%(rate)g call a second is allowed; the next is free in %(seconds).0f s.",
        "%(rate)g calls a second are allowed; the next is free in %(seconds).0f s.",
        1 if rate == 1 else 2,
    )
    return text % {"rate": rate, "seconds": max(1.0, seconds)}


def estimate_seconds(calls: int) -> float:
    """Estimate how long `calls` calls take at the rate, if nothing else calls.

    Return 0.0 if no rate is set.
    """
    if not settings.IOTDA_RATE or calls < 1:
        return 0.0
    limit = account_limit()
    try:
        return store.seconds_until_slot(limit, calls)
    except StoreUnavailable:
        return (calls - 1) * limit.interval
