"""Helpers of the tests of batch tasks."""

from typing import Any

from iotda_admin.operations.execution import batch_tasks
from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.operation_helpers import (
    make_everything_due,
    outcome_counts,
    reconcile_now,
    run_workers,
)


def poll_tasks_now() -> None:
    """Make all batch tasks due, and poll them once."""
    make_everything_due()
    batch_tasks.poll_due_tasks()


def run_until_finished(operation: Operation) -> dict[str, int]:
    """Run the worker until the operation ends, and return its counts."""
    for _round in range(8):
        run_workers()
        poll_tasks_now()
        reconcile_now()
        operation.refresh_from_db()
        if operation.finished_at:
            break
    return outcome_counts(operation)


def created_tasks(cloud: Cloud) -> list[dict[str, Any]]:
    return cloud.journal("CreateBatchTask")


def set_task_result(
    cloud: Cloud, operation: Operation, rows: list[tuple[str, str, str]], **facts: Any
) -> None:
    """Make IoTDA report these rows for the operation's task."""
    task = {
        "task_id": operation.chunks.get(by_task=True).task_id,
        "task_type": "freezeDevices",
    }
    task |= {"status": "PartialSuccess"} | facts
    details = [
        {
            "target": id,
            "status": status,
            "error": {"error_code": code, "error_msg": code and "In IoTDA's words."},
        }
        for id, status, code in rows
    ]
    body = {"batchtask": task, "task_details": details, "page": {"count": len(rows)}}
    cloud.fault("ShowBatchTask", "status", status=200, body=body)
