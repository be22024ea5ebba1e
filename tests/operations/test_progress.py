"""What the page of a running operation says: how far it is, what it waits for, how long it still takes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from iotda_admin.operations.error_codes import TASKS_FULL
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.web.progress import format_duration
from iotda_admin.rate import store
from tests.conftest import HTMX


@pytest.fixture
def waiting(record_operation, inventory):
    return record_operation("device.freeze", *inventory.free(10))


@pytest.fixture(autouse=True)
def rate():
    """The rate's own connection does not outlive the test's database."""
    yield
    store.close_connection()


def page(client, operation):
    return client.get(operation.get_absolute_url(), headers=HTMX).text


def test_it_says_how_long_the_calls_take_that_are_left(auditor, waiting, settings):
    settings.IOTDA_RATE, settings.IOTDA_BURST = 2.0, 1
    assert "IoTDA allows 2 calls a second: about 10 s left" in page(auditor, waiting)


def test_what_is_over_in_a_moment_needs_no_word(auditor, waiting, settings):
    settings.IOTDA_RATE, settings.IOTDA_BURST = 1000.0, 10
    assert "calls a second" not in page(auditor, waiting)


def test_without_a_limit_nothing_is_foretold(auditor, waiting, settings):
    settings.IOTDA_RATE = 0
    assert "calls a second" not in page(auditor, waiting)


@pytest.mark.parametrize(
    ("strikes", "said"), [(0, "asks us to slow down"), (3, "cannot be reached")]
)
def test_it_says_why_it_is_held_and_when_it_goes_on(auditor, waiting, strikes, said):
    until = timezone.now() + timedelta(seconds=90)
    Operation.objects.update(held_until=until, strikes=strikes)
    text = page(auditor, waiting)
    assert said in text
    assert f"{until:%H:%M:%S} UTC" in text
    assert 'data-local="seconds"' in text


def test_it_says_that_no_batch_task_has_room(auditor, waiting):
    until = timezone.now() + timedelta(seconds=20)
    Chunk.objects.update(due_at=until, by_task=True, error_code=min(TASKS_FULL))
    text = page(auditor, waiting)
    assert "IoTDA runs as many batch tasks as it allows. Continues at" in text
    assert "slow down" not in text


def test_it_foretells_by_the_pace_where_calls_take_longer_than_the_rate_allows(
    auditor, waiting, settings
):
    settings.IOTDA_RATE, settings.IOTDA_IN_FLIGHT = 1000.0, 2
    now = timezone.now()
    first = Chunk.objects.filter(number__lte=5)
    first.update(state="done", sent_at=now - timedelta(seconds=20), answered_at=now)
    Target.objects.filter(chunk__in=first).update(state="ok")
    assert "About 20 s left" in page(auditor, waiting)
    first.update(answered_at=now - timedelta(minutes=2))
    assert " left" not in page(auditor, waiting)


def test_what_was_held_and_goes_on_says_nothing_of_it(auditor, waiting):
    Operation.objects.update(
        held_until=timezone.now() - timedelta(seconds=1), strikes=3
    )
    assert "Continues at" not in page(auditor, waiting)


def test_it_follows_a_batch_task(auditor, waiting):
    Target.objects.update(state="sent")
    Chunk.objects.filter(number=1).update(state="followed", by_task=True, task_done=6)
    Target.objects.update(chunk=Chunk.objects.get(number=1))
    Chunk.objects.exclude(number=1).update(state="done")
    text = page(auditor, waiting)
    assert "IoTDA works through a batch task: 6 of 10" in text
    assert '<progress value="6" max="10"' in text
    assert "hx-trigger" in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.2, "4 s"), (89, "89 s"), (100, "2 min"), (5400, "1 h 30 min")],
)
def test_it_says_a_time_as_one_says_it(seconds, words):
    assert format_duration(seconds) == words


def test_a_running_operation_lists_nothing_that_has_not_failed(auditor, waiting):
    Target.objects.filter(chunk__number__lt=6).update(state="ok")
    assert "fold-good" not in page(auditor, waiting)


def test_a_large_operation_is_asked_for_less_often(auditor, waiting, monkeypatch):
    assert "load delay:1s" in page(auditor, waiting)
    monkeypatch.setattr("iotda_admin.operations.web.progress.LARGE", 5)
    assert "load delay:3s" in page(auditor, waiting)
