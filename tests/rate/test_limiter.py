"""Slots by a clock of the test's own; the row in the database keeps its own time."""

import pytest

from iotda_admin.rate import store
from iotda_admin.rate.limiter import (
    SLOT_LIFETIME_SECONDS,
    STORE_RETRY_SECONDS,
    TokenBucket,
)
from iotda_admin.rate.limits import RateLimit
from iotda_admin.rate.models import Limit
from iotda_admin.rate.store import SlotTooFar

LIMIT = RateLimit(rate=200, burst=200)


class Time:
    def __init__(self):
        self.now = 1000.0

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def limiter(paced, time):
    return TokenBucket("test", clock=lambda: time.now, sleep=time.sleep)


def tat():
    return Limit.objects.get(name="test").tat


def held(limiter):
    """Takes slots until the limiter holds some that it has not handed out."""
    while not limiter._slots:
        limiter.take(LIMIT, 10)


def test_a_slot_that_is_held_costs_no_write(limiter):
    held(limiter)
    before = tat()
    limiter.take(LIMIT, 10)
    assert tat() == before


def test_a_few_writes_serve_many_calls(limiter, monkeypatch):
    writes = []
    reserve = store.reserve_slots
    monkeypatch.setattr(
        store, "reserve_slots", lambda *args: writes.append(args) or reserve(*args)
    )
    for _ in range(100):
        limiter.take(LIMIT, 10)
    assert len(writes) <= 25


def test_old_slots_are_dropped(limiter, time):
    held(limiter)
    before = tat()
    time.now += SLOT_LIFETIME_SECONDS + 0.1
    limiter.take(LIMIT, 10)
    assert tat() > before


def test_what_was_held_before_a_pause_is_void(limiter):
    held(limiter)
    limiter.pause(LIMIT, 30)
    with pytest.raises(SlotTooFar):
        limiter.take(LIMIT, 10)


def test_it_reserves_one_slot_where_slots_come_slowly(limiter):
    slow = RateLimit(rate=10, burst=10)
    for _ in range(5):
        limiter.take(slow, 10)
        assert not limiter._slots


def test_without_the_database_it_keeps_to_the_rate_by_itself(
    limiter, time, monkeypatch
):
    monkeypatch.setitem(store.NOW, "sqlite", "no_such_clock()")
    monkeypatch.setitem(store.NOW, "postgresql", "no_such_clock()")
    started = time.now
    for _ in range(51):
        limiter.take(LIMIT, 10)
    assert time.now - started == pytest.approx(50 * LIMIT.interval)


def test_it_comes_back_to_the_database(limiter, time, monkeypatch):
    with monkeypatch.context() as broken:
        for vendor in store.NOW:
            broken.setitem(store.NOW, vendor, "no_such_clock()")
        limiter.take(LIMIT, 10)
    time.now += STORE_RETRY_SECONDS + 1
    limiter.take(LIMIT, 10)
    assert Limit.objects.filter(name="test").exists()


def test_a_pause_counts_without_the_database_too(limiter, monkeypatch):
    for vendor in store.NOW:
        monkeypatch.setitem(store.NOW, vendor, "no_such_clock()")
    limiter.pause(LIMIT, 30)
    with pytest.raises(SlotTooFar):
        limiter.take(LIMIT, 10)
