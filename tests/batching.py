"""What the tests of batch tasks share."""

from typing import Any

from iotda_admin.operations.execution import batch_tasks
from iotda_admin.operations.models import Operation
from tests.asking import look, outcome, time_passes, work
from tests.cloud import Cloud


def follow() -> None:
    """Time passes until the tasks are to be looked at, and the worker looks once."""
    time_passes()
    batch_tasks.poll_due_tasks()


def finish(operation: Operation) -> dict[str, int]:
    """The worker until nothing is left to do."""
    for _round in range(8):
        work()
        follow()
        look()
        operation.refresh_from_db()
        if operation.finished_at:
            break
    return outcome(operation)


def created(cloud: Cloud) -> list[dict[str, Any]]:
    return cloud.journal("CreateBatchTask")


def tell(
    cloud: Cloud, operation: Operation, rows: list[tuple[str, str, str]], **facts: Any
) -> None:
    """From here on the platform shows this of the operation's task, over the wire."""
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
