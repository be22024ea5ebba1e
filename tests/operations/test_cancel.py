"""Cancel the unsent targets of a running operation."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection as database
from django.db import transaction
from django.test import Client

from iotda_admin.access.actor import Actor
from iotda_admin.audit.models import Event
from iotda_admin.iotda import Rejected, Throttled
from iotda_admin.operations.execution import executor
from iotda_admin.operations.execution.leases import (
    lease_chunk,
    lease_due_chunks,
    operations_with_due_chunks,
)
from iotda_admin.operations.execution.lifecycle import cancel_operation
from iotda_admin.operations.execution.result_writer import ChunkResult, write_results
from iotda_admin.operations.models import Operation
from iotda_admin.rate.connection import client
from tests.cloud import Cloud
from tests.conftest import HTMX, signed_in
from tests.operation_helpers import outcome_counts, run_workers, write_requests
from tests.operations.deployment import a_session_waits, until


@pytest.fixture
def me(actor: Actor) -> Client:
    client = Client()
    client.force_login(actor.user)
    return client


@pytest.fixture
def running(record_operation: Callable[..., Operation], inventory: Cloud) -> Any:
    """Three chunks; the first is answered."""
    operation = record_operation(
        "policy.bind", *inventory.free(10), *(f"nobody-{n}" for n in range(35))
    )
    executor.execute_chunk(operation.chunks.first(), client())
    return operation


def cancel(client: Any, operation: Any, **more: Any) -> Any:
    return client.post(f"{operation.get_absolute_url()}cancel/", **more)


def test_unsent_targets_are_cancelled(
    me: Client, running: Any, inventory: Cloud
) -> None:
    assert cancel(me, running).url == running.get_absolute_url()
    run_workers()
    assert outcome_counts(running) == {"ok": 10, "failed": 10, "cancelled": 25}
    assert running.state == "cancelled"
    assert running.finished_at
    assert len(write_requests(inventory)) == 1


def test_sent_targets_end_normally(me: Client, running: Any, inventory: Cloud) -> None:
    held = lease_chunk(running.chunks.all()[1])
    cancel(me, running)
    assert outcome_counts(running) == {
        "ok": 10,
        "failed": 10,
        "sent": 20,
        "cancelled": 5,
    }
    assert running.finished_at is None
    write_results([executor.send_request(held, client())])
    assert outcome_counts(running) == {"ok": 10, "failed": 30, "cancelled": 5}
    assert (running.state, bool(running.finished_at)) == ("cancelled", True)


@pytest.mark.parametrize(
    "error",
    [
        Throttled("Slower.", status=429, retryable=True),
        Rejected("Invalid.", status=400),
    ],
)
def test_a_cancel_includes_chunks_that_another_process_requeues_or_splits(
    me: Client, running: Any, error: Any
) -> None:
    held = lease_chunk(running.chunks.all()[1])
    cancel(me, running)
    write_results([ChunkResult(held, error=error)])
    assert outcome_counts(running) == {"ok": 10, "failed": 10, "cancelled": 25}
    assert running.finished_at


def test_the_page_shows_who_cancelled_and_that_sent_calls_finish(
    me: Client, running: Any
) -> None:
    held = lease_chunk(running.chunks.all()[1])
    cancel(me, running)
    text = me.get(running.get_absolute_url()).text
    assert "Cancelled by admin." in text
    assert "Targets that were already sent finish normally." in text
    assert "20 targets are sent, but not answered yet" in text
    assert 's, reload"' in text
    write_results([executor.send_request(held, client())])
    assert 's, reload"' not in me.get(running.get_absolute_url()).text


def test_the_trail_names_who_cancelled_it(
    running: Any, record_operation: Callable[..., Operation]
) -> None:
    policy_admin = signed_in("policy admin")
    cancel(policy_admin, running)
    event = Event.objects.get(kind="operation.cancelled")
    assert (event.actor_name, event.role, event.address) == (
        "policyadmin",
        "policy admin",
        "127.0.0.1",
    )
    assert (event.operation, event.detail["not_sent"]) == (running.pk, 25)
    assert (
        Event.objects.filter(kind="operation.ended", operation=running.pk).count() == 1
    )


@pytest.mark.skipif("database.vendor != 'postgresql'", reason="SQLite has one writer")
@pytest.mark.django_db(transaction=True)
def test_a_chunk_that_is_being_leased_is_not_counted_as_cancelled(
    record_operation: Callable[..., Operation], actor: Actor, inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(4))
    with ThreadPoolExecutor(1) as aside:
        with transaction.atomic():
            (sending,) = lease_due_chunks(operations_with_due_chunks(), 1)
            cancelled = aside.submit(aside_cancel, operation, actor)
            until(a_session_waits)
        assert cancelled.result(20)
    said = Event.objects.get(kind="chunk.dropped")
    (sent,) = sending.request.ids
    assert sent not in said.outcomes.values_list("target_id", flat=True)
    assert said.outcomes.count() == 3
    assert Event.objects.get(kind="operation.cancelled").detail == {"not_sent": 3}


def aside_cancel(operation: Any, actor: Actor) -> Any:
    try:
        return cancel_operation(operation, actor)
    finally:
        database.close()


def test_the_cancel_page_shows_how_many_targets_are_left(
    me: Client, running: Any
) -> None:
    text = me.get(f"{running.get_absolute_url()}cancel/").text
    assert "25 targets are not sent yet" in text
    assert outcome_counts(running)["pending"] == 25


def test_the_cancel_page_says_that_a_batch_task_cannot_be_stopped(
    me: Client, running: Any
) -> None:
    assert "batch task" not in me.get(f"{running.get_absolute_url()}cancel/").text
    running.chunks.filter(number=1).update(state="followed", by_task=True)
    text = me.get(f"{running.get_absolute_url()}cancel/").text
    assert "IoTDA works on 20 devices as a batch task. It can't be stopped" in text
    assert "Only what is not sent yet is cancelled." in text


def test_a_second_cancel_changes_nothing(me: Client, running: Any) -> None:
    assert cancel(me, running).status_code == cancel(me, running).status_code == 302
    assert Event.objects.filter(kind="operation.cancelled").count() == 1


def test_a_finished_operation_cannot_be_cancelled(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation("device.freeze", *inventory.free(1))
    response = cancel(me, operation)
    assert response.status_code == 409
    assert "has nothing left to cancel" in response.text
    assert outcome_counts(operation) == {"ok": 1}
    assert operation.state == "done"


def test_an_htmx_cancel_gets_the_result_and_closes_the_dialog(
    me: Client, running: Any
) -> None:
    response = cancel(me, running, headers=HTMX)
    assert 'id="operation"' in response.text
    assert response.headers["HX-Trigger"] == '{"dialog:close": {}}'


def test_an_htmx_cancel_that_is_too_late_stays_in_the_dialog(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    response = cancel(
        me, start_operation("device.freeze", *inventory.free(1)), headers=HTMX
    )
    assert response.status_code == 409
    assert response.headers["HX-Retarget"] == "#dialog-body"


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", False),
        ("auditor", False),
        ("operator", False),
        ("policy admin", True),
    ],
)
def test_cancelling_requires_the_permission_of_the_verb(
    role: str, may: bool, running: Any
) -> None:
    someone = signed_in(role)
    assert ("Cancel the rest" in someone.get(running.get_absolute_url()).text) == may
    assert someone.get(f"{running.get_absolute_url()}cancel/").status_code == (
        200 if may else 403
    )
    assert cancel(someone, running).status_code == (302 if may else 403)
    assert ("cancelled" in outcome_counts(running)) == may


def test_the_actor_may_cancel_even_without_the_permission(
    me: Client,
    actor: Actor,
    record_operation: Callable[..., Operation],
    inventory: Cloud,
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    actor.user.groups.set([Group.objects.get(name="auditor")])
    client = Client()
    client.force_login(User.objects.get(pk=actor.user.pk))
    cancel(client, operation)
    assert outcome_counts(operation) == {"cancelled": 2}


def test_cancelled_targets_can_be_requested_again(me: Client, running: Any) -> None:
    cancel(me, running)
    text = me.get(f"{running.get_absolute_url()}retry/").text
    assert re.search(r'value="cancelled:"\s+checked', text)
    assert "because the operation was cancelled" in text
