"""Reads of IoTDA that a page waits for: few at once in a process, and none for long.

A thread of the web server that waits for IoTDA serves nobody else. So most threads are
left to pages that make no call, however slowly IoTDA answers.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.utils.translation import gettext as _

from iotda_admin.iotda import Client, IotdaError, time_budget
from iotda_admin.rate.connection import client, page_status
from iotda_admin.rate.hook import PageRateLimiter, PlatformBusy

# Places of a process of which the number of threads is not known.
PLACES = 8


class Places:
    """A number of places that are taken without waiting."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._taken = 0
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place for the block. Raise PlatformBusy if none is free."""
        with self._lock:
            if self._taken >= self.number:
                message = _("Too many other pages are waiting for its answer.")
                raise PlatformBusy(message, retryable=True)
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1


page_places = Places(PLACES)
page_limiter = PageRateLimiter()


def fit_places(threads: int) -> None:
    """Give pages a quarter of the threads, and at most half of the connections."""
    page_places.number = max(1, min(threads // 4, settings.IOTDA_CONNECTIONS // 2))


@contextmanager
def page_client(*, patient: bool = False) -> Iterator[Client]:
    """Yield the client for the reads of one page.

    Together they take at most IOTDA_DEADLINE; after that a call raises OutOfTime. Raise
    PlatformBusy at once if no place is free; a call raises it if the rate limit has no
    slot soon, or none within the time if `patient`.
    """
    limiter = page_limiter.patient() if patient else page_limiter
    with page_places.take(), time_budget(settings.IOTDA_DEADLINE):
        yield client().limited_by(limiter)


@contextmanager
def change_client() -> Iterator[Client]:
    """Yield the client for the reads that a change needs, with IOTDA_DEADLINE for all.

    They take no place and do not let other changes go first.
    """
    with time_budget(settings.IOTDA_DEADLINE):
        yield client()


def status_of_stored(error: IotdaError, *, known: bool) -> int:
    """Return the status of a page that shows what is stored: the read failed.

    If the product itself did not ask IoTDA, a known object is a complete answer.
    """
    if known and isinstance(error, PlatformBusy):
        return 200
    return page_status(error)
