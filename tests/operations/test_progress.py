"""The progress, waits and estimated time on the page of a running operation."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from iotda_admin.operations.error_codes import TASKS_FULL
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.web.progress import format_duration
from tests.cloud import Cloud
from tests.conftest import HTMX


@pytest.fixture
def waiting(record_operation: Callable[..., Operation], inventory: Cloud) -> Any:
    return record_operation("device.freeze", *inventory.free(10))


def page(client: Any, operation: Any) -> Any:
    return client.get(operation.get_absolute_url(), headers=HTMX).text


def test_the_page_estimates_the_remaining_time(
    auditor: Client, waiting: Any, settings: Settings
) -> None:
    settings.IOTDA_RATE, settings.IOTDA_BURST = 2.0, 1
    assert "IoTDA allows 2 calls a second: about 10 s left" in page(auditor, waiting)


def test_a_short_operation_shows_no_estimate(
    auditor: Client, waiting: Any, settings: Settings
) -> None:
    settings.IOTDA_RATE, settings.IOTDA_BURST = 1000.0, 10
    assert "calls a second" not in page(auditor, waiting)


def test_without_a_rate_limit_there_is_no_estimate(
    auditor: Client, waiting: Any, settings: Settings
) -> None:
    settings.IOTDA_RATE = 0
    assert "calls a second" not in page(auditor, waiting)


@pytest.mark.parametrize(
    ("strikes", "said"),
    [(0, "asks us to slow down"), (3, "The last requests to IoTDA failed")],
)
def test_the_page_shows_why_it_is_paused_and_when_it_continues(
    auditor: Client, waiting: Any, strikes: int, said: str
) -> None:
    until = timezone.now() + timedelta(seconds=90)
    Operation.objects.update(waits_until=until, strikes=strikes)
    text = page(auditor, waiting)
    assert said in text
    assert f">{until:%Y-%m-%d %H:%M:%S} UTC</time>" in text


def test_the_page_says_that_no_batch_task_slot_is_free(
    auditor: Client, waiting: Any
) -> None:
    until = timezone.now() + timedelta(seconds=20)
    Chunk.objects.update(due_at=until, by_task=True, error_code=TASKS_FULL)
    text = page(auditor, waiting)
    assert "IoTDA runs as many batch tasks as it allows. Continues at" in text
    assert "slow down" not in text


def test_the_estimate_uses_the_measured_pace_if_calls_are_slower_than_the_rate(
    auditor: Client, waiting: Any, settings: Settings
) -> None:
    settings.IOTDA_RATE, settings.IOTDA_IN_FLIGHT = 1000.0, 2
    now = timezone.now()
    first = Chunk.objects.filter(number__lte=5)
    first.update(state="done", sent_at=now - timedelta(seconds=20), answered_at=now)
    Target.objects.filter(chunk__in=first).update(state="ok")
    assert "About 20 s left" in page(auditor, waiting)
    first.update(answered_at=now - timedelta(minutes=2))
    assert " left" not in page(auditor, waiting)


def test_an_operation_that_continues_shows_no_pause(
    auditor: Client, waiting: Any
) -> None:
    Operation.objects.update(
        waits_until=timezone.now() - timedelta(seconds=1), strikes=3
    )
    assert "Continues at" not in page(auditor, waiting)


def test_the_page_shows_the_progress_of_a_batch_task(
    auditor: Client, waiting: Any
) -> None:
    Target.objects.update(state="sent")
    Chunk.objects.filter(number=1).update(state="followed", by_task=True, task_done=6)
    Target.objects.update(chunk=Chunk.objects.get(number=1))
    Chunk.objects.exclude(number=1).update(state="done")
    text = page(auditor, waiting)
    assert "IoTDA works through a batch task: 6 of 10" in text
    assert '<progress value="6" max="10"' in text
    assert 's, reload"' in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.2, "4 s"), (89, "89 s"), (100, "2 min"), (5400, "1 h 30 min")],
)
def test_durations_are_written_in_words(seconds: Any, words: str) -> None:
    assert format_duration(seconds) == words


def test_a_running_operation_lists_only_failed_targets(
    auditor: Client, waiting: Any
) -> None:
    Target.objects.filter(chunk__number__lt=6).update(state="ok")
    assert "fold-good" not in page(auditor, waiting)


def test_a_large_operation_is_polled_less_often(
    auditor: Client, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "every 1s" in page(auditor, waiting)
    monkeypatch.setattr("iotda_admin.operations.web.progress.LARGE", 5)
    assert "every 3s" in page(auditor, waiting)
