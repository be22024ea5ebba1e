"""Listings: one page, or all rows by one of two walks.

IoTDA lists the newest row first. `marker` means "only rows older than this one" and
`offset` skips rows after the marker. An offset is at most 500, so row 551 and later
rows need the marker of an earlier page.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from .documents import Json, get_section, get_text, need, need_rows
from .errors import BadResponse

PAGE_LIMIT = 50
OFFSET_LIMIT = 500
PAGES_PER_WINDOW = OFFSET_LIMIT // PAGE_LIMIT + 1  # reachable by offset alone
MARKER_LENGTH = 24


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
        if self.marker and (
            len(self.marker) != MARKER_LENGTH
            or set(self.marker) - set("0123456789abcdef")
        ):
            raise ValueError("marker must be 24 lower-case hexadecimal digits")

    def to_json(self) -> dict[str, int | str]:
        query: dict[str, int | str] = {"limit": self.limit, "offset": self.offset}
        return {**query, "marker": self.marker} if self.marker else query


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
        page = get_section(doc, "page")
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
    query: PageQuery | None = FIRST_PAGE
    while query:
        page = fetch_page(query)
        yield from page.items
        query = _after(page, query)


def _after[T](page: ListingPage[T], query: PageQuery) -> PageQuery | None:
    """Return the query of the next page, None after the last one."""
    if page.is_last:
        return None
    if len(page.marker) != MARKER_LENGTH or page.marker == query.marker:
        raise BadResponse("a full page has no marker for the next one", retryable=True)
    return replace(query, marker=page.marker, offset=0)


class _Window[T]:
    """Pages at the offsets 0, 50, … after one marker, all requested at once."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        fetch_page: FetchPage[T],
        marker: str,
        pages: int,
    ) -> None:
        self.fetch_page = fetch_page
        self.queries = [
            PageQuery(marker=marker, offset=PAGE_LIMIT * number)
            for number in range(pages)
        ]
        # The last page first: the next window needs its marker.
        futures = [pool.submit(fetch_page, query) for query in reversed(self.queries)]
        self.futures: list[Future[ListingPage[T]]] = futures[::-1]

    def next_query(self) -> PageQuery | None:
        return _after(self.futures[-1].result(), self.queries[-1])

    def pages(self) -> list[ListingPage[T]] | None:
        """Return the pages up to the last one, or None if the listing changed.

        A deleted row moves the later ones to earlier offsets, perhaps into a page that
        was already read: one would be missed. All counts of a window are taken after
        one marker, so they differ only if rows came or went.
        """
        pages = [future.result() for future in self.futures]
        if len({page.count for page in pages}) > 1:
            return None
        short = next(
            (number for number, page in enumerate(pages) if page.is_last),
            len(pages) - 1,
        )
        if any(page.items for page in pages[short + 1 :]):
            return None
        return pages[: short + 1]

    def cancel(self) -> None:
        for future in self.futures:
            future.cancel()


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
    with ThreadPoolExecutor(in_flight, thread_name_prefix="iotda-list") as pool:
        try:
            for items in _windows(pool, fetch_page, first):
                rows = {key(item): item for item in items}
                seen += len(rows)
                yield from rows.values()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if seen < first.count:
        _check_whole(fetch_page, first.count, seen)


def _check_whole[T](fetch_page: FetchPage[T], count: int, seen: int) -> None:
    """Raise BadResponse unless rows were deleted since the first page.

    Rows added meanwhile can make it refuse a complete listing: a retry helps.
    """
    now = fetch_page(PageQuery(limit=1)).count
    if seen < min(count, now):
        raise BadResponse(
            f"the list ended after {seen} rows of {min(count, now)}", retryable=True
        )


def _windows[T](
    pool: ThreadPoolExecutor, fetch_page: FetchPage[T], first: ListingPage[T]
) -> Iterator[list[T]]:
    left = first.count - len(first.items)

    def open_window(query: PageQuery | None) -> _Window[T] | None:
        # The count only limits the requests; a full last page always has a next one.
        pages = min(PAGES_PER_WINDOW, max(1, -(-left // PAGE_LIMIT)))
        return _Window(pool, fetch_page, query.marker, pages) if query else None

    window = open_window(_after(first, FIRST_PAGE))
    while window:
        left -= PAGE_LIMIT * len(window.queries)
        # Fetched while this window is collected and used.
        following = open_window(window.next_query())
        pages = window.pages()
        if pages is None:
            if following:
                following.cancel()
            pages, query = _one_by_one(window)
            following = open_window(query)
        yield [row for page in pages for row in page.items]
        window = following


def _one_by_one[T](window: _Window[T]) -> tuple[list[ListingPage[T]], PageQuery | None]:
    """Read the window by markers; return its pages and the next query."""
    pages: list[ListingPage[T]] = []
    query: PageQuery | None = window.queries[0]
    while query and len(pages) < len(window.queries):
        pages.append(window.fetch_page(query))
        query = _after(pages[-1], query)
    return pages, query
