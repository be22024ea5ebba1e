"""Helpers of the tests that create operations."""

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from iotda_admin.access.actor import Actor
from iotda_admin.operations.counts import target_counts
from iotda_admin.operations.execution import reconciliation
from iotda_admin.operations.execution.executor import execute_due_chunks
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.services import create_operation
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.samples import SAMPLES

KEY = "0123456789abcdef0123456789abcdef"
OTHER_KEY = "f" * 32
# The operations of IoTDA's API that change something.
WRITE_OPERATIONS = {sample.request for sample in SAMPLES} | {
    "CreateBatchTask",
    "CreateDevicePolicy",
    "UpdateDevicePolicy",
    "DeleteDevicePolicy",
}


def create(
    verb: str,
    targets: Sequence[str | TargetSpec],
    actor: Actor,
    key: str = KEY,
    **about: Any,
) -> Operation:
    """Record an operation without sending it."""
    specs = [
        each if isinstance(each, TargetSpec) else TargetSpec(each) for each in targets
    ]
    facts = {"reason": "because", **about}
    return create_operation(OperationRequest(verb, specs, key=key, **facts), actor)


def change_form(**more: Any) -> dict[str, Any]:
    """Return the data of a change form: reason, ticket, key and the view's fields."""
    return {"reason": "billing dispute", "ticket": "INC-1", "key": KEY, **more}


def bind_form(policy: str, *ids: str, **more: Any) -> dict[str, Any]:
    return change_form(
        **{
            "act": "bind",
            "policy": policy,
            "target_type": "device",
            "target": list(ids),
            **more,
        }
    )


def write_requests(cloud: Cloud) -> list[dict[str, Any]]:
    """Return the write requests in the journal, applied or not."""
    return [
        entry for entry in cloud.journal() if entry["operation"] in WRITE_OPERATIONS
    ]


def outcome_counts(operation: Operation) -> dict[str, int]:
    operation.refresh_from_db()
    return target_counts(operation)


def target_states(operation: Operation) -> dict[str, str]:
    return dict(operation.targets.values_list("target_id", "state"))


def target_error_codes(operation: Operation) -> dict[str, str]:
    return dict(operation.targets.values_list("target_id", "error_code"))


def run_workers() -> None:
    """Execute all due chunks of every operation, as a worker does."""
    execute_due_chunks(connection.client())


def make_iotda_unreachable(settings: Any) -> None:
    """Make every call to IoTDA fail from now on."""
    settings.IOTDA_ENDPOINT = "http://127.0.0.1:9"
    connection.client.cache_clear()


def make_everything_due() -> None:
    """End all waits of chunks and operations."""
    Chunk.objects.update(due_at=timezone.now())
    Operation.objects.update(waits_until=None)


def reconcile_now() -> None:
    """Make unanswered changes due for read-back, and reconcile them once."""
    reconciliation.recover_stalled()
    Chunk.objects.filter(state=Chunk.State.UNKNOWN).update(due_at=timezone.now())
    reconciliation.reconcile_due()
