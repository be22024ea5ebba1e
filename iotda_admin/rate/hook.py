"""The rate limiter of the client: one rate for all processes."""

import time

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from iotda_admin.core import metrics
from iotda_admin.iotda import Throttled, longest_wait
from iotda_admin.rate import store
from iotda_admin.rate.limiter import TokenBucket
from iotda_admin.rate.limits import RateLimit, account_limit
from iotda_admin.rate.own_connection import StoreUnavailable
from iotda_admin.rate.store import SlotTooFar

# The pause when IoTDA throttles a call without a Retry-After.
DEFAULT_PAUSE_SECONDS = 1.0
# The share of IOTDA_DEADLINE that a page waits for a slot, if it shows the inventory
# without one.
PAGE_WAIT_SHARE = 0.1
# A read that waits for the store tries it again after this time.
STORE_PAUSE_SECONDS = 0.1


class PlatformBusy(Throttled):
    """No call was made: other calls have the places or the rate."""

    busy = True


class SharedRateLimiter:
    """The client's `RateLimiter`, with metrics. IOTDA_RATE = 0 turns it off."""

    error: type[Throttled] = Throttled

    def __init__(self, bucket: TokenBucket | None = None) -> None:
        self._bucket = bucket or TokenBucket()

    def acquire(self, operation: str) -> None:
        """Wait for a slot, at most IOTDA_DEADLINE and until an outer budget ends.

        Raises `error`, and takes no slot, if the next one is further away.
        """
        if not settings.IOTDA_RATE:
            return
        limit, started = account_limit(), time.perf_counter()
        try:
            self._take(limit, min(settings.IOTDA_DEADLINE, longest_wait()))
        except SlotTooFar as far:
            metrics.RATE_REFUSED.inc()
            message = limit_reached(limit.rate, far.seconds)
            raise self.error(
                message,
                operation=operation,
                retryable=True,
                retry_after=far.seconds,
            ) from None
        except StoreUnavailable:
            message = _("The database, which stores the rate limit, is busy.")
            raise self.error(message, operation=operation, retryable=True) from None
        finally:
            metrics.RATE_SECONDS.inc(time.perf_counter() - started)

    def _take(self, limit: RateLimit, seconds: float) -> None:
        self._bucket.take(limit, seconds)

    def throttled(self, operation: str, retry_after: float | None) -> None:
        """Pause all processes for `retry_after` seconds."""
        metrics.THROTTLED.inc()
        if settings.IOTDA_RATE:
            self._bucket.pause(account_limit(), retry_after or DEFAULT_PAUSE_SECONDS)


class YieldingRateLimiter(SharedRateLimiter):
    """The limiter of reads that nothing waits for: changes go first.

    It waits for the store, too: a read without it could exceed the shared rate.
    """

    error = PlatformBusy

    def __init__(self, bucket: TokenBucket | None = None) -> None:
        super().__init__(bucket or TokenBucket(yields=True))

    def _take(self, limit: RateLimit, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while True:
            try:
                return self._bucket.take(limit, ends - time.monotonic())
            except StoreUnavailable:
                if time.monotonic() + STORE_PAUSE_SECONDS > ends:
                    raise
            time.sleep(STORE_PAUSE_SECONDS)


class PageRateLimiter(YieldingRateLimiter):
    """The limiter of pages, which wait only briefly: the inventory is an answer."""

    def _take(self, limit: RateLimit, seconds: float) -> None:
        brief = PAGE_WAIT_SHARE * settings.IOTDA_DEADLINE
        self._bucket.take(limit, min(seconds, brief))

    def patient(self) -> YieldingRateLimiter:
        """Return the limiter of pages for which only IoTDA is an answer."""
        return YieldingRateLimiter(self._bucket)


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
