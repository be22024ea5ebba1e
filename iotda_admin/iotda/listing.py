"""Lists: a page for a screen, and two ways to walk them all. One kind of page serves all three.

IoTDA orders newest first. `marker` means "only records older than this one", `offset` skips that many records
after the marker, and goes to 500 only, so everything beyond 550 rows needs the marker of an earlier page.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from .errors import BadResponse
from .fields import Json, need, rows, section, text

PAGE_LIMIT = 50
OFFSET_LIMIT = 500
PAGES_A_WINDOW = OFFSET_LIMIT // PAGE_LIMIT + 1  # reachable by offset alone
MARKER_LENGTH = 24


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which rows: `limit` 1 to 50, `offset` 0 to 500, `marker` "" or a marker of an earlier page."""

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
        asked: dict[str, int | str] = {"limit": self.limit, "offset": self.offset}
        return {**asked, "marker": self.marker} if self.marker else asked


FIRST_PAGE = PageQuery()


@dataclass(frozen=True, slots=True)
class ListingPage[T]:
    """`count` is the number of rows that match in all; whether a marker changes it is not documented.

    `marker` is that of the last row, "" when the platform gave none (assumed possible on an empty page).
    """

    items: tuple[T, ...]
    count: int
    marker: str
    limit: int = PAGE_LIMIT  # the one asked for

    @property
    def is_last(self) -> bool:
        """Fewer rows than asked for: nothing follows."""
        return len(self.items) < self.limit

    @classmethod
    def from_json(
        cls, doc: Json, key: str, build: Callable[[Json], T], limit: int
    ) -> "ListingPage[T]":
        page = section(doc, "page")
        return cls(
            rows(doc, key, build), need(page, "count", int), text(page, "marker"), limit
        )


type FetchPage[T] = Callable[[PageQuery], ListingPage[T]]


def walk[T](fetch_page: FetchPage[T], start: PageQuery = FIRST_PAGE) -> Iterator[T]:
    """All rows by marker, a page at a time; rows added meanwhile do not disturb it.

    Raises BadResponse when a full page has no marker, or the same as the page before: to stop there would
    pass a part of the list off as the whole.
    """
    query: PageQuery | None = start
    while query:
        page = fetch_page(query)
        yield from page.items
        query = _after(page, query)


def _after[T](page: ListingPage[T], query: PageQuery) -> PageQuery | None:
    """The query for what follows a page, None when nothing does."""
    if page.is_last:
        return None
    if len(page.marker) != MARKER_LENGTH or page.marker == query.marker:
        raise BadResponse("a full page without a marker to go on from", retryable=True)
    return replace(query, marker=page.marker, offset=0)


class _Window[T]:
    """Pages at offsets 0, 50 … behind one marker, all asked for at once."""

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
        # The last page first: the next window cannot start without its marker.
        asked = {
            query: pool.submit(fetch_page, query) for query in reversed(self.queries)
        }
        self.futures: list[Future[ListingPage[T]]] = [
            asked[query] for query in self.queries
        ]

    def next_query(self) -> PageQuery | None:
        return _after(self.futures[-1].result(), self.queries[-1])

    def pages(self) -> list[ListingPage[T]] | None:
        """All pages up to the first short one; None when the list changed while they were read.

        A row that is deleted shifts the rows behind it to earlier offsets, perhaps into a page that was read
        already: it would be missed. All counts of a window are taken behind one marker, so they differ only
        when rows came or went.
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
    """All rows, newest first, with up to `in_flight` pages asked for at once.

    For whole-list reads: eleven pages are reachable from one marker without waiting for each other. `key`
    names a row; a row seen in two pages of a window is given once. A window in which the list changed is
    read again one page after the other. At most two windows (1,100 rows) are held at a time. Errors of
    fetch_page end it. BadResponse (retryable) where the list ends before as many rows as it says it has.
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


def _check_whole[T](fetch_page: FetchPage[T], promised: int, seen: int) -> None:
    """Fewer rows than promised at first is right only where rows went meanwhile; else a part would pass for
    the whole. Rows that came meanwhile can make this refuse a whole list: its caller reads it again."""
    now = fetch_page(PageQuery(limit=1)).count
    if seen < min(promised, now):
        raise BadResponse(
            f"the list ended after {seen} rows of {min(promised, now)}", retryable=True
        )


def _windows[T](
    pool: ThreadPoolExecutor, fetch_page: FetchPage[T], first: ListingPage[T]
) -> Iterator[list[T]]:
    left = first.count - len(first.items)

    def opened(query: PageQuery | None) -> _Window[T] | None:
        # The count only says how many pages are worth asking for; a full last page always goes on.
        pages = min(PAGES_A_WINDOW, max(1, -(-left // PAGE_LIMIT)))
        return _Window(pool, fetch_page, query.marker, pages) if query else None

    window = opened(_after(first, FIRST_PAGE))
    while window:
        left -= PAGE_LIMIT * len(window.queries)
        following = opened(
            window.next_query()
        )  # under way while this window is collected and used
        pages = window.pages()
        if pages is None:
            if following:
                following.cancel()
            pages, query = _one_by_one(window)
            following = opened(query)
        yield [row for page in pages for row in page.items]
        window = following


def _one_by_one[T](window: _Window[T]) -> tuple[list[ListingPage[T]], PageQuery | None]:
    """The window's pages, each behind the marker of the one before, and where to go on."""
    pages: list[ListingPage[T]] = []
    query: PageQuery | None = window.queries[0]
    while query and len(pages) < len(window.queries):
        pages.append(window.fetch_page(query))
        query = _after(pages[-1], query)
    return pages, query
