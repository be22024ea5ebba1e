"""Pages and syncs let changes go first at the rate limit."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event, Semaphore, Thread
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.rate import limiter as limiter_module
from iotda_admin.rate import own_connection, store
from iotda_admin.rate.connection import client
from iotda_admin.rate.hook import PageRateLimiter, PlatformBusy, YieldingRateLimiter
from iotda_admin.rate.limiter import TokenBucket
from iotda_admin.rate.limits import RateLimit, account_limit
from iotda_admin.rate.models import Limit
from iotda_admin.rate.own_connection import NOW, StoreUnavailable
from tests.cloud import Cloud
from tests.own_database import other_writer

LIMIT = RateLimit(rate=10, burst=10, name="test")
# Of the 9 calls of the burst, reads take at most 5.
LEFT = 4
# Changes that wait have taken the slots of this time.
QUEUED_SECONDS = 0.2


class Clock:
    """The time of the limiter and of the database, in which changes may wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch, self.changes, self.changes_wait = monkeypatch, 0, False
        self.now = 0.0
        self.go_to(1000.0)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.go_to(min(until, self.now + LIMIT.interval))

    def let_changes_wait(self) -> None:
        self.changes_wait = True
        self.go_to(self.now)

    def go_to(self, now: float) -> None:
        self.now = now
        for vendor in NOW:
            self.patch.setitem(NOW, vendor, f"{now:.6f}")
        while self.changes_wait and store.seconds_until_slot(LIMIT) < QUEUED_SECONDS:
            store.reserve_slots(LIMIT, 1, 1)
            self.changes += 1


@pytest.fixture
def clock(paced: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(limiter_module, "time", clock)
    return clock


def test_changes_that_wait_take_all_slots_but_one_block_a_second(clock: Clock) -> None:
    reads = TokenBucket(yields=True)
    reads.take(LIMIT, 10)
    clock.let_changes_wait()
    for _ in range(5):
        before = clock.changes
        reads.take(LIMIT, 10)
        assert clock.changes - before >= 9


def test_a_read_that_waits_too_long_takes_no_slot(clock: Clock) -> None:
    reads = TokenBucket(yields=True)
    reads.take(LIMIT, 10)
    clock.let_changes_wait()
    with pytest.raises(store.SlotTooFar):
        reads.take(LIMIT, 0.5)
    assert clock.now < 1001


def test_reads_alone_use_the_rate_and_leave_half_of_the_burst(clock: Clock) -> None:
    reads = TokenBucket(yields=True)
    for _ in range(100):
        reads.take(LIMIT, 10)
        assert store.seconds_until_slot(LIMIT, LEFT) == 0
    assert clock.now - 1000 < 1.05 * 100 * LIMIT.interval


@contextmanager
def waits_of_changes(seconds: list[float]) -> Iterator[None]:
    """Collect how long the last of some changes would wait, again and again."""
    over = Event()

    def collect() -> None:
        while not over.wait(0.005):
            with suppress(StoreUnavailable):
                seconds.append(store.seconds_until_slot(account_limit(), LEFT))

    thread = Thread(target=collect)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_changes_need_not_wait_for_a_sync(
    inventory: Cloud, paced: Callable[..., Any]
) -> None:
    paced(10, 10)
    calls, seconds = len(inventory.journal()), list[float]()
    with waits_of_changes(seconds):
        assert run_sync(SyncRun.objects.create(), client())
    assert len(inventory.journal()) - calls > 10
    assert max(seconds) == 0


def test_changes_need_not_wait_for_pages(
    viewer: Client, inventory: Cloud, paced: Callable[..., Any], settings: Settings
) -> None:
    settings.IOTDA_DEADLINE = 100
    paced(5, 10)
    device, seconds = inventory.known_ids["online"], list[float]()
    with waits_of_changes(seconds):
        # On a loaded machine a page may give up the wait for the database.
        while len(inventory.journal("ShowDevice")) < 12:
            answer = viewer.get(f"/devices/{device}/")
            assert answer.status_code == 200
    assert max(seconds) == 0


@pytest.mark.parametrize("limiter", [PageRateLimiter, YieldingRateLimiter])
def test_a_read_that_cannot_reach_the_shared_rate_is_not_made(
    limiter: type[YieldingRateLimiter],
    inventory: Cloud,
    paced: Callable[..., Any],
    settings: Settings,
) -> None:
    """Also not after that, while all processes pause."""
    settings.IOTDA_DEADLINE = 0.3
    paced(10, 10)
    device, reads = inventory.known_ids["online"], client().limited_by(limiter())
    with other_writer(), pytest.raises(PlatformBusy, match="database"):
        reads.show_device(device)
    store.pause_slots(account_limit(), 3000)
    with pytest.raises(PlatformBusy):
        reads.show_device(device)
    assert not inventory.journal("ShowDevice")


def test_a_sync_waits_for_a_locked_database(
    inventory: Cloud,
    paced: Callable[..., Any],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.IOTDA_DEADLINE = 60
    paced(10, 10)
    device, tries = inventory.known_ids["online"], Semaphore(0)
    reads, execute = client().limited_by(YieldingRateLimiter()), own_connection.execute

    def counted(*args: Any, **options: Any) -> Any:
        try:
            return execute(*args, **options)
        finally:
            tries.release()

    monkeypatch.setattr(own_connection, "execute", counted)
    with ThreadPoolExecutor(1) as pool:
        with other_writer():
            read = pool.submit(reads.show_device, device)
            for _ in range(2):
                assert tries.acquire(timeout=60)
            assert not inventory.journal("ShowDevice")
        assert read.result().device_id == device
    assert Limit.objects.exists()
