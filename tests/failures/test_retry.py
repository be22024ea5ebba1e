"""Retry from the list: one linked operation for each that the failures come from."""

import re
from collections.abc import Callable
from typing import Any

from django.test import Client

from iotda_admin.operations.execution.executor import execute_chunk
from iotda_admin.operations.models import Operation
from iotda_admin.rate.connection import client
from tests.cloud import Cloud
from tests.operation_helpers import (
    KEY,
    change_form,
    run_workers,
    target_states,
    write_requests,
)


def failures(*operations: Any) -> dict[str, Any]:
    return {
        "target": [target.pk for each in operations for target in each.targets.all()]
    }


def refused(
    start_operation: Callable[..., Operation], inventory: Cloud, device: Any
) -> Any:
    """A freeze that IoTDA rejected once."""
    inventory.fault(
        "FreezeDevice", "status", status=400, error_code="IOTDA.000006", error_msg="No."
    )
    operation = start_operation("device.freeze", device)
    inventory.heal()
    return operation


def newest(n: Any) -> list[Any]:
    return list(Operation.objects.order_by("-pk")[:n])


def test_a_retry_takes_a_reason_and_is_shown_on_the_list(
    me: Client, full: Operation, inventory: Cloud
) -> None:
    text = me.post("/failures/retry/", failures(full), follow=True).text
    assert re.search(r"Retry 1 target\s*<", text)
    assert 'value="INC-7"' in text
    page = me.post("/failures/retry/", change_form(**failures(full)), follow=True)
    (made,) = newest(1)
    assert (made.retry_of, made.reason, made.ticket) == (
        full,
        "billing dispute",
        "INC-1",
    )
    assert f">{made}</a>: 1 failed" in " ".join(page.text.split())


def test_each_operation_gets_a_retry_of_its_own(
    me: Client,
    start_operation: Callable[..., Operation],
    full: Operation,
    inventory: Cloud,
) -> None:
    other = refused(start_operation, inventory, inventory.free(1)[0])
    me.post("/failures/retry/", change_form(**failures(full, other)))
    made = newest(2)
    assert {each.retry_of for each in made} == {full, other}
    run_workers()
    assert {each.retry_of: set(target_states(each).values()) for each in made} == {
        full: {"failed"},
        other: {"ok"},
    }


def test_only_selected_targets_are_retried(
    me: Client, start_operation: Callable[..., Operation]
) -> None:
    operation = start_operation("policy.bind", "nobody-1", "nobody-2")
    me.post(
        "/failures/retry/",
        change_form(
            only=operation.targets.get(target_id="nobody-1").pk, **failures(operation)
        ),
    )
    assert target_states(newest(1)[0]).keys() == {"nobody-1"}


def test_targets_that_cannot_succeed_are_left_out_with_the_reason(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation("device.freeze", inventory.known_ids["child"])
    text = me.post("/failures/retry/", failures(operation), follow=True).text
    assert "This device is behind a gateway." in text
    assert "A retry cannot help any of these." in text
    before = len(write_requests(inventory))
    assert (
        me.post("/failures/retry/", change_form(**failures(operation))).status_code
        == 422
    )
    assert len(write_requests(inventory)) == before


def test_a_running_operation_is_not_retried(
    me: Client, start_operation: Callable[..., Operation]
) -> None:
    operation = start_operation("policy.bind", *(f"nobody-{n}" for n in range(21)))
    execute_chunk(operation.chunks.first(), client())
    failed = operation.targets.filter(state="failed")[:1]
    chosen = {"target": [each.pk for each in failed]}
    assert "still running" in me.post("/failures/retry/", chosen, follow=True).text


def test_a_retry_without_a_reason_is_rejected(
    me: Client, full: Operation, inventory: Cloud
) -> None:
    before = len(write_requests(inventory))
    page = me.post("/failures/retry/", change_form(reason=" ", **failures(full)))
    assert page.status_code == 422
    assert re.search(r'name="target" value="\d+"', page.text)
    assert len(write_requests(inventory)) == before


def test_a_form_sent_twice_is_one_retry(me: Client, full: Operation) -> None:
    for _ in range(2):
        me.post("/failures/retry/", change_form(**failures(full)))
    assert Operation.objects.filter(retry_of=full).count() == 1


def test_a_role_without_the_verb_cannot_retry(
    policyadmin: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = refused(start_operation, inventory, inventory.free(1)[0])
    page = policyadmin.post("/failures/retry/", failures(operation), follow=True)
    assert "Your role does not allow this." in page.text
    policyadmin.post("/failures/retry/", change_form(key=KEY, **failures(operation)))
    assert newest(1) == [operation]
