"""A walk yields each row once and in order while the listing changes."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from iotda_admin.iotda import BadResponse, ListingPage, PageQuery, walk, walk_windows
from tests.operations.deployment import until


class List:
    """A list as IoTDA pages it; `hook(query)` runs before each page."""

    def __init__(self, rows: Any, count: Any = None) -> None:
        self.rows = [f"{number:024x}" for number in range(rows, 0, -1)]
        self.count = count
        self.queries: list[Any] = []
        self.busy, self.most = 0, 0
        self.hook: Callable[[Any], object] = lambda query: None
        self.linger: Callable[[], object] = lambda: time.sleep(0.001)
        self.lock = threading.Lock()

    def page(self, query: Any) -> ListingPage[str]:
        with self.lock:
            self.queries.append(query)
            self.hook(query)
            rows = [row for row in self.rows if not query.marker or row < query.marker]
            count = len(self.rows) if self.count is None else self.count(self, rows)
            self.busy += 1
            self.most = max(self.most, self.busy)
        self.linger()
        with self.lock:
            self.busy -= 1
        rows = rows[query.offset : query.offset + query.limit]
        return ListingPage(tuple(rows), count, rows[-1] if rows else "", query.limit)


def whole(fetch: Any, **options: Any) -> list[Any]:
    return list(walk_windows(fetch, key=str, **options))


SIZES = [0, 1, 49, 50, 51, 99, 100, 550, 551, 600, 601, 1150, 1234]


@pytest.mark.parametrize("size", SIZES)
def test_both_walks_yield_every_row_in_order(size: int) -> None:
    source = List(size)
    assert list(walk(source.page)) == source.rows
    assert whole(source.page) == source.rows


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "count",
    [
        lambda lst, rows: len(rows),
        lambda lst, rows: 0,
        lambda lst, rows: len(lst.rows) + 1,
        lambda lst, rows: len(lst.rows) - 1,
        lambda lst, rows: min(len(lst.rows), 500),
        lambda lst, rows: len(lst.rows) + (len(lst.queries) <= 3),
        lambda lst, rows: 10**6,
    ],
)
def test_a_walk_finds_every_page_despite_a_wrong_count(
    size: int, count: Callable[..., Any]
) -> None:
    source = List(size, count)
    assert whole(source.page) == source.rows


def test_a_walk_requests_each_page_once() -> None:
    source = List(1234)
    whole(source.page)
    # The first page, and those of three windows, which share a row with the one before.
    assert len(source.queries) == 1 + 11 + 11 + 3


def test_a_walk_has_a_limited_number_of_pages_in_flight() -> None:
    source = List(3000)
    # After the first page, each request waits until four are in flight.
    source.linger = lambda: len(source.queries) == 1 or until(lambda: source.most >= 4)
    whole(source.page, in_flight=8)
    assert 4 <= source.most <= 8


def test_a_row_deleted_during_a_walk_hides_no_other() -> None:
    source, read, first = List(1200), threading.Event(), threading.Lock()
    before = list(source.rows)

    def fetch(query: Any) -> Any:
        # Each window has a page at this offset.
        if query.offset == 147 and first.acquire(blocking=False):
            read.wait(2)
            # The row at offset 147 moves to a page that was read already.
            source.rows.remove(before[120])
        page = source.page(query)
        if query.offset == 98:
            read.set()
        return page

    got = whole(fetch, in_flight=4)
    assert set(before) - set(got) <= {before[120]}
    assert got == sorted(set(got), reverse=True)


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("gone", [60, 120, 199, 700])
def test_a_row_replaced_during_a_walk_hides_no_other(in_flight: int, gone: int) -> None:
    """The count is the same before and after."""
    source = List(1200)
    before = list(source.rows)

    def replace_one(query: Any) -> None:
        if len(source.queries) == 6:
            source.rows.remove(before[gone])
            source.rows.insert(0, f"{99999:024x}")

    source.hook = replace_one
    got = whole(source.page, in_flight=in_flight)
    assert set(before) - set(got) <= {before[gone]}
    assert len(got) == len(set(got))


def test_a_row_added_during_a_walk_repeats_no_other() -> None:
    source = List(1200)
    before = list(source.rows)

    def add_one(query: Any) -> None:
        if query.offset == 294 and len(source.rows) == 1200:
            source.rows.insert(0, f"{99999:024x}")

    source.hook = add_one
    assert whole(source.page) == before


def test_a_row_in_two_pages_is_yielded_once() -> None:
    source = List(120)
    rows = source.rows

    def overlapping(query: Any) -> Any:
        page = source.page(query)
        shifted = query.marker and query.offset == 49
        return (
            ListingPage((rows[98], *page.items), 120, page.marker) if shifted else page
        )

    assert whole(overlapping) == rows


@pytest.mark.parametrize("walker", [lambda fetch: list(walk(fetch)), whole])
@pytest.mark.parametrize("marker", ["", "f" * 24])
def test_a_full_page_without_a_new_marker_raises(walker: Any, marker: str) -> None:
    with pytest.raises(BadResponse):
        walker(lambda query: ListingPage(tuple(map(str, range(50))), 100, marker))


@pytest.mark.parametrize("walker", [lambda fetch: list(walk(fetch)), whole])
def test_markers_may_have_upper_case_digits_and_are_sent_as_they_came(
    walker: Any,
) -> None:
    source = List(1234)
    seen = set()

    def fetch(query: PageQuery) -> ListingPage[str]:
        seen.add(query.marker)
        page = source.page(replace(query, marker=query.marker.lower()))
        return replace(page, marker=page.marker.upper())

    assert walker(fetch) == source.rows
    assert any(marker != marker.lower() for marker in seen)
    assert {marker.upper() for marker in seen} == seen


def test_an_error_ends_a_walk() -> None:
    source = List(2000)

    def fail(query: Any) -> None:
        if query.offset == 294:
            raise BadResponse("odd")

    source.hook = fail
    with pytest.raises(BadResponse):
        whole(source.page)


def test_a_walk_keeps_at_most_two_windows() -> None:
    source = List(5000)
    rows: Any = walk_windows(source.page, key=str)
    for _ in range(60):
        next(rows)
    time.sleep(0.1)
    assert len(source.queries) <= 1 + 11 * 2
    rows.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 51},
        {"offset": -1},
        {"offset": 501},
        {"marker": "x"},
    ],
)
def test_a_page_query_out_of_range_raises(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        PageQuery(**wrong)
