"""Listings: one page, or all rows by one of two walks.

IoTDA lists the newest row first. `marker` means "only rows older than this one" and
`offset` skips rows after the marker. An offset is at most 500, so row 551 and later
rows need the marker of an earlier page.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from .documents import Json, get_text, get_value, need, need_rows
from .errors import BadResponse

PAGE_LIMIT = 50
OFFSET_LIMIT = 500
PAGES_PER_WINDOW = OFFSET_LIMIT // PAGE_LIMIT + 1  # reachable by offset alone
MARKER = re.compile("[0-9a-f]{24}")


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
            raise ValueError("marker must be 24 lower-case hexadecimal digits")

    def to_json(self) -> dict[str, int | str]:
        query: dict[str, int | str] = {
            "limit": self.limit,
            "marker": self.marker,
            "offset": self.offset,
        }
        return {key: value for key, value in query.items() if value != ""}


FIRST_PAGE = PageQuery()


@dataclass(frozen=True, slots=True)
class ListingPage[T]:
    """One page of rows.

    count   the number of all matching rows; whether a marker changes it is not
            documented
    marker  that of the last row, "" if IoTDA gave none (assumed for an empty page)
    limit   the one of the query
    """

    items: tuple[T, ...]
    count: int
    marker: str
    limit: int = PAGE_LIMIT

    @property
    def is_last(self) -> bool:
        """The page has fewer rows than its limit, so no page follows."""
        return len(self.items) < self.limit

    @classmethod
    def from_json(
        cls, doc: Json, key: str, build: Callable[[Json], T], limit: int
    ) -> "ListingPage[T]":
        page = get_value(doc, "page", dict)
        return cls(
            need_rows(doc, key, build),
            need(page, "count", int),
            get_text(page, "marker"),
            limit,
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
    fetch_page: FetchPage[T], *, key: Callable[[T], str], in_flight: int = 8
) -> Iterator[T]:
    """Yield all rows, newest first, with up to `in_flight` concurrent requests.

    One marker reaches eleven pages (a window). `key` identifies a row; a row in two
    pages of a window is yielded once. A window in which the listing changed is read
    again one page after the other. It keeps at most two windows (1,100 rows) in memory.
    An error of fetch_page ends the walk. Raises BadResponse (retryable) if the listing
    ends before its count.
    """
    first = fetch_page(FIRST_PAGE)
    yield from first.items
    seen = len(first.items)
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="iotda-list")
    try:
        for pages in _windows(pool, fetch_page, first):
            rows = {key(item): item for page in pages for item in page.items}
            seen += len(rows)
            yield from rows.values()
    finally:
        pool.shutdown(cancel_futures=True)
    if seen < first.count:
        # Rows may have been deleted since the first page. Rows added meanwhile can make
        # it refuse a complete listing: a retry helps.
        count = min(first.count, fetch_page(PageQuery(limit=1)).count)
        if seen < count:
            message = f"the list ended after {seen} rows of {count}"
            raise BadResponse(message, retryable=True)


def _windows[T](
    pool: ThreadPoolExecutor, fetch_page: FetchPage[T], first: ListingPage[T]
) -> Iterator[list[ListingPage[T]]]:
    """Yield the pages of each window; request the next window meanwhile."""
    left = first.count - len(first.items)

    def open_window(query: PageQuery | None) -> dict[PageQuery, Future[ListingPage[T]]]:
        """Request the pages at the offsets 0, 50, … after one marker, all at once."""
        if query is None:
            return {}
        # The count only limits the requests; a full last page always has a next one.
        pages = min(PAGES_PER_WINDOW, max(1, -(-left // PAGE_LIMIT)))
        # The last page first: the next window needs its marker.
        offsets = reversed(range(0, pages * PAGE_LIMIT, PAGE_LIMIT))
        queries = [replace(query, offset=offset) for offset in offsets]
        return {query: pool.submit(fetch_page, query) for query in queries}

    window = open_window(_after(first, FIRST_PAGE))
    while window:
        left -= PAGE_LIMIT * len(window)
        queries = list(window)
        following = open_window(_after(window[queries[0]].result(), queries[0]))
        pages = [future.result() for future in reversed(window.values())]
        if _changed(pages):
            for future in following.values():
                future.cancel()
            read = list(islice(_pages(fetch_page, queries[-1]), len(queries)))
            pages = [page for page, _ in read]
            following = open_window(read[-1][1])
        yield pages
        window = following


def _changed[T](pages: Sequence[ListingPage[T]]) -> bool:
    """Return whether the listing changed while the pages of a window were read.

    A deleted row moves the later ones to earlier offsets, perhaps into a page that was
    already read: one would be missed. All counts of a window are taken after one
    marker, so they differ only if rows came or went.
    """
    gap = any(page.is_last and after.items for page, after in pairwise(pages))
    return gap or len({page.count for page in pages}) > 1
