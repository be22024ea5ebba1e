"""Several listings are read at once, and ahead of what is stored."""

import time
from threading import Event
from typing import Any

import pytest

from iotda_admin.inventory.listings import batched_listings
from tests.iotda.test_listing import List
from tests.operations.deployment import PATIENCE, until


def merged(sources: dict[str, List]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in sources}
    fetches = {name: source.page for name, source in sources.items()}
    for name, batch in batched_listings(fetches, str):
        found[name] += [row for row, _read_at in batch]
    return found


def test_each_listing_is_whole_and_in_order() -> None:
    sources = {str(size): List(size) for size in (0, 1, 50, 551, 1234)}
    assert merged(sources) == {name: one.rows for name, one in sources.items()}
    assert merged({}) == {}


def test_listings_are_read_at_the_same_time(settings: Any) -> None:
    settings.INVENTORY_IN_FLIGHT = 3
    sources = [List(1200) for _ in range(5)]

    def at_work() -> int:
        return sum(source.busy for source in sources)

    def linger() -> None:
        most.append(at_work())
        # The first requests wait until all places are taken, and all of them a little
        # for one too many.
        until(lambda: max(most) >= 3)
        time.sleep(0.01)

    most = [0]
    for source in sources:
        source.linger = linger
    merged({str(number): source for number, source in enumerate(sources)})
    assert max(most) == 3


def test_the_next_batch_is_read_while_one_is_stored() -> None:
    source, older = List(1200), Event()

    def note(query: Any) -> None:
        if query.marker and query.marker < source.rows[600]:
            older.set()

    source.hook = note
    batches = batched_listings({"one": source.page}, str)
    next(batches)
    # Nothing asks for the second batch, which needs a page of the second window.
    assert older.wait(PATIENCE)
    batches.close()  # type: ignore[attr-defined]


def test_an_error_of_one_listing_ends_all() -> None:
    good, bad = List(3000), List(3000)

    def fail(query: Any) -> None:
        if query.offset:
            raise LookupError

    bad.hook = fail
    with pytest.raises(LookupError):
        merged({"good": good, "bad": bad})
