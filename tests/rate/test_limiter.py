"""The token bucket with a fake clock; the row in the database has the real one."""

from collections.abc import Callable
from typing import Any

import pytest

from iotda_admin.rate import limiter as limiter_module
from iotda_admin.rate import store
from iotda_admin.rate.limiter import (
    SLOT_LIFETIME_SECONDS,
    STORE_RETRY_SECONDS,
    TokenBucket,
)
from iotda_admin.rate.limits import RateLimit
from iotda_admin.rate.models import Limit
from iotda_admin.rate.own_connection import NOW
from iotda_admin.rate.store import SlotTooFar

LIMIT = RateLimit(rate=200, burst=200, name="test")


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: Any) -> None:
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(limiter_module, "time", time)
    return time


@pytest.fixture
def limiter(paced: Callable[..., Any], time: Time) -> TokenBucket:
    return TokenBucket()


def tat() -> Any:
    return Limit.objects.get(name="test").tat


def fill(limiter: TokenBucket) -> None:
    """Take slots until the limiter has unused ones."""
    while not limiter._slots:
        limiter.take(LIMIT, 10)


def test_a_reserved_slot_costs_no_write(limiter: TokenBucket) -> None:
    fill(limiter)
    before = tat()
    limiter.take(LIMIT, 10)
    assert tat() == before


def test_a_few_writes_serve_many_calls(
    limiter: TokenBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    reserve = store.reserve_slots
    monkeypatch.setattr(
        store, "reserve_slots", lambda *args: writes.append(args) or reserve(*args)
    )
    for _ in range(100):
        limiter.take(LIMIT, 10)
    assert len(writes) <= 25


def test_unused_slots_expire(limiter: TokenBucket, time: Time) -> None:
    fill(limiter)
    before = tat()
    time.now += SLOT_LIFETIME_SECONDS + 0.1
    limiter.take(LIMIT, 10)
    assert tat() > before


def test_a_pause_voids_reserved_slots(limiter: TokenBucket) -> None:
    fill(limiter)
    limiter.pause(LIMIT, 30)
    with pytest.raises(SlotTooFar):
        limiter.take(LIMIT, 10)


def test_at_a_low_rate_a_block_has_one_slot(limiter: TokenBucket) -> None:
    slow = RateLimit(rate=10, burst=10, name="test")
    for _ in range(5):
        limiter.take(slow, 10)
        assert not limiter._slots


def test_without_the_database_the_process_limits_itself(
    limiter: TokenBucket, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NOW, "sqlite", "no_such_clock()")
    monkeypatch.setitem(NOW, "postgresql", "no_such_clock()")
    started = time.now
    for _ in range(51):
        limiter.take(LIMIT, 10)
    assert time.now - started == pytest.approx(50 * LIMIT.interval)


def test_the_database_is_used_again_after_a_failure(
    limiter: TokenBucket, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        for vendor in NOW:
            broken.setitem(NOW, vendor, "no_such_clock()")
        limiter.take(LIMIT, 10)
    time.now += STORE_RETRY_SECONDS + 1
    limiter.take(LIMIT, 10)
    assert Limit.objects.filter(name="test").exists()


def test_a_pause_works_without_the_database(
    limiter: TokenBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for vendor in NOW:
        monkeypatch.setitem(NOW, vendor, "no_such_clock()")
    limiter.pause(LIMIT, 30)
    with pytest.raises(SlotTooFar):
        limiter.take(LIMIT, 10)
