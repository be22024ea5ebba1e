"""Each call is in the audit trail: that it was sent, its answer, and each target's outcome."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from iotda_admin.access.actor import Actor
from iotda_admin.audit.models import Event
from iotda_admin.audit.verify import verify_trail
from iotda_admin.operations.execution.lifecycle import cancel_operation
from iotda_admin.operations.models import Operation
from tests.batch_task_helpers import poll_tasks_now
from tests.cloud import Cloud
from tests.operation_helpers import make_everything_due, reconcile_now, run_workers


@pytest.fixture(autouse=True)
def nothing_forged(db: None) -> Iterator[None]:
    yield
    assert verify_trail().broken_at is None


def told(operation: Any) -> list[Any]:
    """Each event with what it says of each target."""
    events = Event.objects.filter(operation=operation.pk).order_by("id")
    return [
        (event.kind, sorted(event.outcomes.values_list("target_id", "outcome", "code")))
        for event in events
        if event.kind.startswith("chunk.")
    ]


def test_the_call_of_a_chunk_and_its_answer_are_recorded(
    start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    bound, free = inventory.known_ids["full"], inventory.free(1)[0]
    operation = start_operation("policy.bind", bound, free, policy="policy")
    outcomes = [(bound, "failed", "IOTDA.015204"), (free, "ok", "")]
    assert told(operation) == [("chunk.sent", []), ("chunk.answered", sorted(outcomes))]
    sent, answered = Event.objects.filter(kind__startswith="chunk.").order_by("id")
    assert sent.detail["ids"] == sorted([bound, free])
    assert (answered.chunk, answered.attempt, answered.reason) == (1, 1, "because")
    assert (
        answered.upstream_id == inventory.journal("BindDevicePolicy")[0]["request_id"]
    )


def test_an_unclear_answer_and_its_reconciliation_are_recorded(
    start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    (device,) = inventory.free(1)
    inventory.fault(
        "FreezeDevice", "status", match={"times": 1}, moment="after", status=500
    )
    operation = start_operation("device.freeze", device)
    reconcile_now()
    assert told(operation)[1:] == [
        ("chunk.unanswered", [(device, "unknown", "IOTDA.000020")]),
        ("chunk.settled", [(device, "ok", "")]),
    ]


def test_a_throttled_call_is_recorded_and_sent_again(
    start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    (device,) = inventory.free(1)
    inventory.fault("FreezeDevice", "status", match={"times": 1}, status=429)
    operation = start_operation("device.freeze", device)
    make_everything_due()
    run_workers()
    kinds = [kind for kind, _outcomes in told(operation)]
    assert kinds == ["chunk.sent", "chunk.not_sent", "chunk.sent", "chunk.answered"]


def test_a_cancel_is_recorded_for_each_target(
    record_operation: Callable[..., Operation], inventory: Cloud, actor: Actor
) -> None:
    operation = record_operation("device.freeze", *inventory.free(3))
    assert cancel_operation(operation, actor)
    ids = sorted(inventory.free(3))
    assert told(operation) == [("chunk.dropped", [(id, "cancelled", "") for id in ids])]


def test_a_batch_task_is_recorded_for_each_target(
    finished: Operation, devices: Sequence[str]
) -> None:
    poll_tasks_now()
    assert told(finished)[-1] == (
        "chunk.answered",
        [(id, "ok", "") for id in sorted(devices)],
    )
