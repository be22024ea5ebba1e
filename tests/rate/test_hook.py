"""The shared rate limiter: its rate, its timeout, and its failures."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from iotda_admin.iotda import PageQuery, Throttled
from iotda_admin.rate import hook, store
from iotda_admin.rate.connection import client
from iotda_admin.rate.limits import ACCOUNT, account_limit
from iotda_admin.rate.models import Limit, PlatformState
from tests.cloud import Cloud
from tests.iotda.stopwatch import Stopwatch

ONE = PageQuery(limit=1)


def list_devices(_number: int = 0) -> Any:
    return client().list_devices(ONE)


def refused(cloud: Cloud) -> list[Any]:
    return [entry for entry in cloud.journal() if entry["status"] == 429]


def used_up(seconds: Any) -> None:
    store.pause_slots(account_limit(), seconds)


def test_four_threads_stay_within_what_the_platform_allows(
    cloud: Cloud, paced: Callable[..., Any]
) -> None:
    cloud.switch(rate=50, burst=20)
    paced(50, 20)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(list_devices, range(80)))
    assert len(refused(cloud)) <= 0.02 * 80


def test_four_threads_use_most_of_the_rate(
    cloud: Cloud, paced: Callable[..., Any]
) -> None:
    paced(25, 20)
    with Stopwatch() as watch, ThreadPoolExecutor(4) as pool:
        list(pool.map(list_devices, range(50)))
    assert watch.seconds < 2 * (50 - 20) / 25


def test_without_a_rate_nothing_is_written(
    cloud: Cloud, paced: Callable[..., Any]
) -> None:
    paced(0)
    with CaptureQueriesContext(database) as queries:
        list_devices()
    assert len(queries) == 0
    assert not Limit.objects.exists()
    assert not PlatformState.objects.exists()


def test_a_slot_too_far_away_raises_with_a_message(
    cloud: Cloud, paced: Callable[..., Any]
) -> None:
    paced(10, 10)
    used_up(3400)
    with pytest.raises(Throttled) as caught:
        list_devices()
    seconds = caught.value.retry_after
    assert seconds == pytest.approx(3400, abs=100)
    assert (
        caught.value.message
        == f"10 calls a second are allowed; the next is free in {seconds:.0f} s."
    )
    assert caught.value.retryable
    assert not caught.value.maybe_applied


def test_a_slot_too_far_away_is_not_taken(
    cloud: Cloud, paced: Callable[..., Any]
) -> None:
    paced(10, 10)
    used_up(3400)
    before = Limit.objects.get(name=ACCOUNT).tat
    with pytest.raises(Throttled):
        list_devices()
    assert Limit.objects.get(name=ACCOUNT).tat == before
    assert cloud.journal("ListDevices") == []


def test_the_wait_for_a_slot_does_not_count_against_the_deadline(
    cloud: Cloud, paced: Callable[..., Any], settings: Settings
) -> None:
    settings.IOTDA_DEADLINE = 3
    cloud.switch(latency_ms=900)
    paced(10, 1)
    used_up(2.5)
    assert list_devices()


def test_a_throttled_response_pauses_all_calls(
    cloud: Cloud, paced: Callable[..., Any]
) -> None:
    paced(50, 20)
    cloud.fault("ListDevices", "throttle", retry_after=3000)
    with pytest.raises(Throttled):
        list_devices()
    assert hook.estimate_seconds(1) == pytest.approx(3000, abs=100)


def test_a_call_inside_a_transaction_does_not_lock_the_row(
    cloud: Cloud, paced: Callable[..., Any]
) -> None:
    paced(50, 20)
    with transaction.atomic():
        list_devices()
        if database.vendor == "postgresql":
            assert store.reserve_slots(account_limit(), 1, 1) < 1


def test_calls_inside_a_transaction_are_sent(
    cloud: Cloud, db: None, settings: Settings
) -> None:
    settings.IOTDA_RATE = 50
    assert list_devices()


def test_a_locked_database_does_not_stop_a_call(
    cloud: Cloud, paced: Callable[..., Any], settings: Settings
) -> None:
    settings.IOTDA_DEADLINE = 20
    paced(50, 20)
    with transaction.atomic(), ThreadPoolExecutor(1) as other:
        Limit.objects.create(
            name=ACCOUNT, tat=0
        )  # on PostgreSQL the other thread now waits for this row
        assert other.submit(list_devices).result(30)


def test_a_time_from_a_wrong_clock_is_ignored(
    cloud: Cloud, paced: Callable[..., Any]
) -> None:
    paced(10, 10)
    Limit.objects.create(name=ACCOUNT, tat=9e9)
    assert hook.estimate_seconds(1) == 0
    assert list_devices()


def test_a_clock_that_is_set_back_blocks_no_call(
    cloud: Cloud, paced: Callable[..., Any]
) -> None:
    paced(10, 10)
    list_devices()
    used_up(60)
    back = {name: F(name) + 1800 for name in ("tat", "paused_from", "paused_to")}
    Limit.objects.update(**back)
    assert hook.estimate_seconds(1) == 0
    assert list_devices()


def test_a_short_pause_does_not_end_a_long_one(paced: Callable[..., Any]) -> None:
    paced(10, 10)
    used_up(3400)
    used_up(1)
    assert hook.estimate_seconds(1) == pytest.approx(3400, abs=100)


def test_the_duration_of_many_calls_is_estimated(paced: Callable[..., Any]) -> None:
    paced(10, 10)
    used_up(0)
    assert hook.estimate_seconds(400) == pytest.approx(40, abs=2)


def test_without_a_rate_the_estimate_is_zero(paced: Callable[..., Any]) -> None:
    paced(0)
    assert hook.estimate_seconds(400) == 0
