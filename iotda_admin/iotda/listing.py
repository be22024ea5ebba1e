"""Listings: one page, or all rows by one of two walks.

IoTDA lists the newest row first. `marker` means "only rows older than this one" and
`offset` skips rows after the marker. An offset is at most 500, so row 551 and later
rows need the marker of an earlier page.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise

from .documents import (
    Build,
    Json,
    Malformed,
    Skip,
    get_text,
    get_value,
    need,
    need_rows,
)
from .errors import BadResponse

PAGE_LIMIT = 50
OFFSET_LIMIT = 500
# Two pages of a window share a row: if it is not the same in both, the listing changed.
STEP = PAGE_LIMIT - 1
PAGES_PER_WINDOW = OFFSET_LIMIT // STEP + 1  # reachable by offset alone
MARKER = re.compile("[0-9a-fA-F]{24}")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which rows to list. Raises ValueError for a value out of range.

    limit   1 to 50
    marker  "" or the marker of an earlier page
    offset  0 to 500
    """

    limit: int = PAGE_LIMIT
    marker: str = ""
    offset: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= PAGE_LIMIT:
            raise ValueError(f"limit must be 1 to {PAGE_LIMIT}, not {self.limit}")
        if not 0 <= self.offset <= OFFSET_LIMIT:
            raise ValueError(f"offset must be 0 to {OFFSET_LIMIT}, not {self.offset}")
        if self.marker and not MARKER.fullmatch(self.marker):
            raise ValueError("marker must be 24 hexadecimal digits")

    def to_json(self) -> dict[str, int | str]:
        return {key: value for key, value in asdict(self).items() if value != ""}


FIRST_PAGE = PageQuery()


@dataclass(frozen=True, slots=True)
class ListingPage[T]:
    """One page of rows.

    count   the number of all matching rows; whether a marker changes it is not
            documented
    marker  that of the last row, "" if IoTDA gave none (assumed for an empty page)
    limit   the one of the query
    size    the number of rows with those that were skipped
    """

    items: tuple[T, ...]
    count: int
    marker: str
    limit: int = PAGE_LIMIT
    size: int = -1

    @property
    def is_last(self) -> bool:
        """The page has fewer rows than its limit, so no page follows."""
        return max(self.size, len(self.items)) < self.limit

    @classmethod
    def from_json(
        cls,
        key: str,
        build: Build[T],
        limit: int,
        doc: Json,
        skip: Skip | None = None,
    ) -> "ListingPage[T]":
        """Build a page; rows that cannot be built go to `skip`, or else raise."""
        page, rows = get_value(doc, "page", dict), need_rows(doc, key, build, skip)
        if len(doc[key]) > limit:
            raise Malformed(f"{key} has more rows than requested")
        # The count only limits the requests, so an odd one does no harm.
        read_count = get_value if skip and "count" in page else need
        return cls(
            rows,
            read_count(page, "count", int),
            get_text(page, "marker"),
            limit,
            len(doc[key]),
        )


type FetchPage[T] = Callable[[PageQuery], ListingPage[T]]


def walk[T](fetch_page: FetchPage[T]) -> Iterator[T]:
    """Yield all rows, one page after the other; rows added meanwhile do no harm.

    Raises BadResponse if a full page has no marker, or the marker of the page before:
    the rows so far would pass for the whole listing.
    """
    for page, _ in _pages(fetch_page, FIRST_PAGE):
        yield from page.items


def _pages[T](
    fetch_page: FetchPage[T], query: PageQuery | None
) -> Iterator[tuple[ListingPage[T], PageQuery | None]]:
    """Yield the page of `query` and all later ones, each with the next page's query."""
    while query:
        page = fetch_page(query)
        query = _after(page, query)
        yield page, query


def _after[T](page: ListingPage[T], query: PageQuery) -> PageQuery | None:
    """Return the query of the next page, None after the last one."""
    if page.is_last:
        return None
    if page.marker == query.marker or not MARKER.fullmatch(page.marker):
        raise BadResponse("a full page has no marker for the next one", retryable=True)
    return PageQuery(marker=page.marker)


def walk_windows[T](
    fetch_page: FetchPage[T], *, key: Callable[[T], object], in_flight: int = 8
) -> Iterator[T]:
    """Yield all rows, newest first, with up to `in_flight` concurrent requests.

    One marker reaches eleven pages (a window). `key` identifies a row. A window in
    which the listing changed is read again one page after the other, so a row that is
    there from the first request to the last is not missed. `page.count` only limits
    the requests: it may be wrong. It keeps at most two windows (1,080 rows) in memory.
    An error of fetch_page ends the walk.
    """
    first = fetch_page(FIRST_PAGE)
    yield from first.items
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="iotda-list")
    try:
        yield from _windows(pool, fetch_page, first, key)
    finally:
        pool.shutdown(cancel_futures=True)


def _windows[T](
    pool: ThreadPoolExecutor,
    fetch_page: FetchPage[T],
    first: ListingPage[T],
    key: Callable[[T], object],
) -> Iterator[T]:
    """Yield the rows of each window; request the next window meanwhile."""
    left = first.count - len(first.items)

    def open_window(query: PageQuery | None) -> dict[PageQuery, Future[ListingPage[T]]]:
        """Request the pages at the offsets 0, 49, … after one marker, all at once."""
        if query is None:
            return {}
        # The count only limits the requests; a full last page always has a next one.
        pages = min(PAGES_PER_WINDOW, max(1, -(-left // STEP)))
        # The last page first: the next window needs its marker.
        queries = [replace(query, offset=STEP * n) for n in reversed(range(pages))]
        return {query: pool.submit(fetch_page, query) for query in queries}

    window = open_window(_after(first, FIRST_PAGE))
    while window:
        left -= STEP * len(window)
        queries = list(window)
        following = open_window(_after(window[queries[0]].result(), queries[0]))
        rows = _joined([each.result() for each in reversed(window.values())], key)
        if rows is None:
            for future in following.values():
                future.cancel()
            read = list(islice(_pages(fetch_page, queries[-1]), len(queries)))
            rows = [row for page, _ in read for row in page.items]
            following = open_window(read[-1][1])
        yield from rows
        window = following


def _joined[T](
    pages: Sequence[ListingPage[T]], key: Callable[[T], object]
) -> list[T] | None:
    """Return the rows of a window, or None if the listing changed meanwhile.

    After a marker rows can only go: new ones come before it. A row that went moves the
    later ones to earlier offsets, so that two pages no longer share a row.
    """
    rows = list(pages[0].items)
    for before, page in pairwise(pages):
        shared = page.items[:1]
        if before.is_last:
            if shared or page.size > 0:
                return None
        elif not shared or key(shared[0]) != key(before.items[-1]):
            return None
        rows += page.items[1:]
    return rows
