"""Whole listings in batches, which threads read while earlier ones are stored."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import datetime
from itertools import batched
from threading import Semaphore

from django.conf import settings
from django.utils import timezone

from iotda_admin.iotda import FetchPage, ListingPage, PageQuery, walk_windows
from iotda_admin.rate.retries import retrying

BATCH_SIZE = 500

# Rows, each with the time when it was requested.
type Batch[T] = tuple[tuple[T, datetime], ...]


def batched_listing[T](
    fetch_page: FetchPage[T], key: Callable[[T], object]
) -> Iterator[Batch[T]]:
    """Yield a whole listing in batches."""
    return (batch for _name, batch in batched_listings({"": fetch_page}, key))


def batched_listings[T](
    listings: Mapping[str, FetchPage[T]], key: Callable[[T], object]
) -> Iterator[tuple[str, Batch[T]]]:
    """Yield several listings in batches, each with the name of its listing.

    They are read at the same time, with INVENTORY_IN_FLIGHT requests for all. While a
    batch is stored, the next one of each is read.
    """
    places = Semaphore(settings.INVENTORY_IN_FLIGHT)
    sources = {
        name: batched(walk_timed(fetch, key, places), BATCH_SIZE)
        for name, fetch in listings.items()
    }
    with ThreadPoolExecutor(max(1, len(sources))) as pool:
        reading = {pool.submit(next, sources[name], None): name for name in sources}
        while reading:
            for read in wait(reading, return_when=FIRST_COMPLETED).done:
                name, batch = reading.pop(read), read.result()
                if batch is not None:
                    reading[pool.submit(next, sources[name], None)] = name
                    yield name, batch


def walk_timed[T](
    fetch_page: FetchPage[T], key: Callable[[T], object], places: Semaphore
) -> Iterator[tuple[T, datetime]]:
    """Yield a whole listing. Each request takes one of the places."""

    def fetch_in_place(query: PageQuery) -> ListingPage[T]:
        with places:
            return fetch_page(query)

    fetch = retrying(fetch_in_place)

    def fetch_timed(query: PageQuery) -> ListingPage[tuple[T, datetime]]:
        asked_at = timezone.now()
        page = fetch(query)
        items = tuple((item, asked_at) for item in page.items)
        return ListingPage(items, page.count, page.marker, page.limit, page.size)

    return walk_windows(
        fetch_timed,
        key=lambda row: key(row[0]),
        in_flight=settings.INVENTORY_IN_FLIGHT,
    )
