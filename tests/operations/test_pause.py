"""An operation pauses after several calls in a row with the same refusal."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection as database
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from iotda_admin.access.actor import Actor, system_user
from iotda_admin.audit.models import Event
from iotda_admin.operations.cli.command import VerbCommand
from iotda_admin.operations.cli.continue_command import ContinueCommand
from iotda_admin.operations.cli.operation_command import Refused
from iotda_admin.operations.cli.utility import Utility
from iotda_admin.operations.execution import reconciliation
from iotda_admin.operations.execution.leases import (
    lease_chunk,
    lease_due_chunks,
    operations_with_due_chunks,
)
from iotda_admin.operations.execution.lifecycle import (
    cancel_operation,
    continue_operation,
    lock_operation,
    pause_operation,
)
from iotda_admin.operations.models import Operation
from iotda_admin.operations.services import Conflict, dispatch
from iotda_admin.operations.verbs import get_verb
from iotda_admin.rate.connection import client
from tests.cloud import Cloud
from tests.conftest import HTMX, signed_in
from tests.operation_helpers import outcome_counts, run_workers, write_requests
from tests.operations.deployment import a_session_waits, until

WORDS = "The instance is being moved."


@pytest.fixture(autouse=True)
def limit(settings: Settings) -> None:
    settings.PAUSE_AFTER_REFUSALS = 5


def refuse(cloud: Cloud, operation: str = "FreezeDevice", **how: Any) -> None:
    facts: dict[str, Any] = {
        "status": 400,
        "error_code": "IOTDA.019999",
        "error_msg": WORDS,
    }
    cloud.fault(operation, "status", **facts | how)


@pytest.fixture
def paused(record_operation: Callable[..., Operation], inventory: Cloud) -> Operation:
    """A freeze of ten devices, of which five were refused."""
    refuse(inventory)
    operation = record_operation("device.freeze", *inventory.free(10))
    run_workers()
    operation.refresh_from_db()
    return operation


def test_five_equal_refusals_in_a_row_pause_the_operation(
    paused: Operation, inventory: Cloud
) -> None:
    assert outcome_counts(paused) == {"failed": 5, "pending": 5}
    assert (paused.state, paused.finished_at) == ("paused", None)
    assert len(write_requests(inventory)) == 5


def test_a_paused_operation_stays_paused_whatever_the_workers_do(
    paused: Operation, inventory: Cloud
) -> None:
    inventory.heal()
    run_workers()
    reconciliation.recover_stalled()
    dispatch(paused, client())
    assert outcome_counts(paused) == {"failed": 5, "pending": 5}
    assert paused.state == "paused"
    assert len(write_requests(inventory)) == 5


def test_its_single_last_chunk_is_not_sent_with_the_same_form(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    refuse(inventory)
    operation = record_operation("device.freeze", *inventory.free(6))
    run_workers()
    dispatch(operation, client())
    assert outcome_counts(operation) == {"failed": 5, "pending": 1}


def test_the_page_asks_to_continue_or_cancel(paused: Operation) -> None:
    text = signed_in("operator").get(paused.get_absolute_url()).text
    assert "Paused: 5 of 5 were refused with the same answer." in text
    assert WORDS in text
    assert "IoTDA Admin does not know this error code." in text
    assert "5 targets are not sent yet." in text
    assert f'action="{paused.get_absolute_url()}continue/"' in text
    assert f'href="{paused.get_absolute_url()}cancel/"' in text
    assert "The operation continues." not in text


def test_who_may_not_cancel_it_sees_no_buttons(paused: Operation) -> None:
    text = signed_in("auditor").get(paused.get_absolute_url()).text
    assert "Paused: 5 of 5" in text
    assert "continue/" not in text


def test_it_is_shown_and_found_in_the_list(paused: Operation) -> None:
    found = signed_in("operator").get("/operations/?state=paused").text
    assert f">{paused}</a>" in found
    assert 'data-state="paused"' in found


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_user_continues_it_and_the_same_answer_does_not_pause_it_again(
    paused: Operation, inventory: Cloud, headers: Any
) -> None:
    operator = signed_in("operator")
    response = operator.post(f"{paused.get_absolute_url()}continue/", headers=headers)
    assert response.status_code == (200 if headers else 302)
    run_workers()
    assert outcome_counts(paused) == {"failed": 10}
    assert paused.state == "done"
    event = Event.objects.get(kind="operation.continued")
    assert (event.actor_name, event.detail["not_sent"]) == ("operator", 5)
    event = Event.objects.get(kind="operation.paused")
    assert event.detail == {
        "not_sent": 5,
        "refusals": 5,
        "code": "IOTDA.019999",
        "message": WORDS,
    }


def test_the_last_equal_refusals_after_a_pause_pause_nothing(
    record_operation: Callable[..., Operation],
    paused: Operation,
    actor: Actor,
    inventory: Cloud,
) -> None:
    inventory.heal()
    refuse(inventory, error_code="IOTDA.018888")
    assert continue_operation(paused, actor)
    assert not continue_operation(paused, actor)
    run_workers()
    assert outcome_counts(paused) == {"failed": 10}
    assert (paused.refusals, paused.state) == (5, "done")
    assert paused.refusal_code == "IOTDA.018888"


def test_it_can_be_cancelled(paused: Operation, actor: Actor) -> None:
    operator = signed_in("operator")
    assert operator.post(f"{paused.get_absolute_url()}cancel/").status_code == 302
    assert outcome_counts(paused) == {"failed": 5, "cancelled": 5}
    assert (paused.state, bool(paused.finished_at)) == ("cancelled", True)
    assert not cancel_operation(paused, actor)
    assert not continue_operation(paused, actor)


@pytest.mark.parametrize(
    "how",
    [
        {"status": 403, "error_code": "IOTDA.001000"},
        {"status": 404, "error_code": "IOTDA.014000"},
        {"status": 409, "error_code": ""},
    ],
)
def test_every_cause_counts(
    record_operation: Callable[..., Operation], inventory: Cloud, how: Any
) -> None:
    refuse(inventory, **how)
    operation = record_operation("device.freeze", *inventory.free(8))
    run_workers()
    assert outcome_counts(operation) == {"failed": 5, "pending": 3}


def test_refusals_of_the_read_before_the_change_count(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *(f"nobody-{n}" for n in range(8)))
    run_workers()
    assert outcome_counts(operation) == {"failed": 5, "pending": 3}


def test_a_success_or_another_answer_in_between_resets_the_count(
    record_operation: Callable[..., Operation], inventory: Cloud, settings: Settings
) -> None:
    settings.IOTDA_IN_FLIGHT = 1
    ids = sorted(inventory.free(9))
    refuse(inventory, match={"ids": ids[:4]})
    refuse(inventory, match={"ids": ids[4:8]}, error_code="IOTDA.018888")
    operation = record_operation("device.freeze", *ids)
    run_workers()
    assert outcome_counts(operation) == {"failed": 8, "ok": 1}


def test_a_bind_whose_calls_are_refused_target_by_target_pauses(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    refuse(inventory, "BindDevicePolicy", status=403)
    operation = record_operation("policy.bind", *(f"nobody-{n}" for n in range(45)))
    run_workers()
    assert outcome_counts(operation) == {"failed": 5, "pending": 40}


def test_a_run_of_refusals_in_the_middle_names_the_last_ones(
    record_operation: Callable[..., Operation],
    auditor: Client,
    inventory: Cloud,
    settings: Settings,
) -> None:
    settings.IOTDA_IN_FLIGHT = 1
    ids = sorted(inventory.free(10))
    refuse(inventory, match={"ids": ids[3:]})
    operation = record_operation("device.freeze", *ids)
    run_workers()
    operation.refresh_from_db()
    assert operation.state == "paused"
    text = auditor.get(operation.get_absolute_url()).text
    assert f"Paused: The last {operation.refusals} of " in text


def test_zero_never_pauses(
    record_operation: Callable[..., Operation], inventory: Cloud, settings: Settings
) -> None:
    settings.PAUSE_AFTER_REFUSALS = 0
    refuse(inventory)
    operation = record_operation("device.freeze", *inventory.free(10))
    run_workers()
    assert outcome_counts(operation) == {"failed": 10}


def test_the_last_refusals_of_an_operation_pause_nothing(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    refuse(inventory)
    operation = record_operation("device.freeze", *inventory.free(5))
    run_workers()
    assert outcome_counts(operation) == {"failed": 5}
    assert (operation.state, bool(operation.finished_at)) == ("done", True)


def test_another_change_of_its_targets_is_told_that_it_is_paused(
    start_operation: Callable[..., Operation], paused: Operation
) -> None:
    waiting = paused.targets.latest("pk")
    with pytest.raises(Conflict, match="is paused"):
        start_operation("device.unfreeze", waiting.target_id)


def test_another_answer_pauses_it_again(
    record_operation: Callable[..., Operation],
    actor: Actor,
    inventory: Cloud,
    settings: Settings,
) -> None:
    settings.IOTDA_IN_FLIGHT = 1
    ids = [*inventory.free(6), *(f"nobody-{n}" for n in range(12))]
    refuse(inventory)
    operation = record_operation("device.freeze", *ids)
    run_workers()
    assert continue_operation(operation, actor)
    run_workers()
    assert outcome_counts(operation)["pending"] > 0
    assert (operation.state, operation.refusal_code) == ("paused", "IOTDA.014000")
    assert operation.accepted_refusals == ["IOTDA.019999"]


@contextmanager
def slow_worker() -> Iterator[Future[None]]:
    """Run a worker with two senders beside this block."""

    def run() -> None:
        try:
            run_workers()
        finally:
            database.close()

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run)


def pause(operation: Operation, _actor: Actor) -> None:
    with transaction.atomic():
        pause_operation(lock_operation(operation.pk))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("halt", [pause, cancel_operation])
def test_another_worker_begins_no_call_once_it_is_halted(
    halt: Callable[[Operation, Actor], object],
    record_operation: Callable[..., Operation],
    inventory: Cloud,
    actor: Actor,
    settings: Settings,
) -> None:
    settings.IOTDA_IN_FLIGHT = 2
    inventory.fault("FreezeDevice", "latency", seconds=0.5)
    operation = record_operation("device.freeze", *inventory.free(10))
    with slow_worker() as worker:
        until(lambda: operation.chunks.filter(state="sent").count() == 4)
        until(lambda: len(write_requests(inventory)) > 0)
        halt(operation, actor)
        time.sleep(0.1)  # what was on its way arrives
        begun = len(write_requests(inventory))
        worker.result(20)
    assert len(write_requests(inventory)) == begun
    counts = outcome_counts(operation)
    state = "pending" if operation.paused else "cancelled"
    assert counts == {"ok": begun, state: 10 - begun}


@pytest.mark.django_db(transaction=True)
def test_a_worker_with_an_old_schedule_leases_nothing_of_a_paused_operation(
    record_operation: Callable[..., Operation], inventory: Cloud, actor: Actor
) -> None:
    operation = record_operation("device.freeze", *inventory.free(3))
    known = operations_with_due_chunks()
    pause(operation, actor)
    assert lease_due_chunks(known, 3) == []
    assert lease_chunk(operation.chunks.first()) is None
    assert outcome_counts(operation) == {"pending": 3}


@pytest.mark.skipif("database.vendor != 'postgresql'", reason="SQLite has one writer")
@pytest.mark.django_db(transaction=True)
def test_a_pause_waits_for_chunks_that_are_being_leased(
    record_operation: Callable[..., Operation], inventory: Cloud, actor: Actor
) -> None:
    operation = record_operation("device.freeze", *inventory.free(4))

    def pause_beside() -> None:
        try:
            pause(operation, actor)
        finally:
            database.close()

    with ThreadPoolExecutor(1) as aside:
        with transaction.atomic():
            assert len(lease_due_chunks(operations_with_due_chunks(), 1)) == 1
            paused = aside.submit(pause_beside)
            until(a_session_waits)
        paused.result(20)
    assert Event.objects.get(kind="operation.paused").detail["not_sent"] == 3


def test_the_command_line_says_that_it_is_paused(
    inventory: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(inventory)
    why = ("--reason", "billing", "--ticket", "INC-1")
    with pytest.raises(SystemExit, match=r"^1$"):
        call_command(VerbCommand(get_verb("device.freeze")), *inventory.free(10), *why)
    said = capsys.readouterr()
    operation = Operation.objects.get()
    assert "Paused: 5 of 5 were refused with the same answer." in said.out
    assert WORDS in said.out
    assert f"{operation} is paused." in said.err
    assert operation.get_absolute_url() in said.err
    assert f"manage.py continue {operation}" in said.err
    assert operation.state == "paused"


def continue_from_the_command_line(
    number: str, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str]:
    with pytest.raises((SystemExit, Refused)) as ended:
        call_command(ContinueCommand(), number, *more)
    if isinstance(ended.value, Refused):
        return ended.value.returncode, str(ended.value)
    return int(str(ended.value)), capsys.readouterr().out


def test_the_command_line_continues_it(
    paused: Operation, inventory: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory.heal()
    status, text = continue_from_the_command_line(str(paused), capsys)
    assert outcome_counts(paused) == {"failed": 5, "ok": 5}
    assert (status, paused.state) == (1, "done")
    assert "5 frozen" in text
    event = Event.objects.get(kind="operation.continued")
    assert (event.source, event.actor_name) == ("cli", system_user())
    status, text = continue_from_the_command_line(str(paused.pk), capsys)
    assert (status, text) == (2, f"{paused} is not paused: Done.")


def test_the_command_line_does_not_continue_what_is_still_to_be_read(
    paused: Operation, capsys: pytest.CaptureFixture[str]
) -> None:
    Operation.objects.update(pause_cause=Operation.PauseCause.RESTORED)
    paused.chunks.filter(state="pending").update(state="unknown")
    status, text = continue_from_the_command_line(str(paused), capsys)
    assert (status, "is first read from IoTDA again" in text) == (2, True)


@pytest.mark.parametrize("number", ["OP-4711", "x", "", "-1", "9" * 30, "٣"])
def test_the_command_line_continues_no_unknown_operation(
    db: None, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    said = continue_from_the_command_line(number, capsys)
    assert said == (2, f"There is no operation {number}.")


def test_the_command_is_one_of_manage_py(db: None) -> None:
    utility = Utility(["manage.py", "help"])
    assert "    continue" in utility.main_help_text().splitlines()
    assert isinstance(utility.fetch_command("continue"), ContinueCommand)


def test_the_overview_counts_paused_operations_too(
    paused: Operation, operator: Client
) -> None:
    tile = operator.get("/").text.partition("Paused operations")[2]
    assert tile.partition("<b>")[2].startswith("1</b>")
    Operation.objects.update(state="running")
    assert "Paused operations" not in operator.get("/").text
