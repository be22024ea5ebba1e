"""Creates batch tasks, and recognises that IoTDA runs as many as it allows.

No source documents the error code for that, so IoTDA's lists of tasks decide.
"""

from collections.abc import Sequence

from iotda_admin.iotda import (
    RUNNING_TASK_LIMIT,
    TASK_TYPES,
    Client,
    IotdaError,
    Rejected,
    Response,
    TaskType,
    Unauthorized,
)
from iotda_admin.operations.error_codes import TASKS_FULL, is_documented


class NoTaskSlot(IotdaError):
    """Raised when IoTDA created no task because too many run; its words are the message."""


def create_task(
    client: Client, name: str, task_type: TaskType, ids: Sequence[str]
) -> tuple[str, Response]:
    """Create a batch task; raise NoTaskSlot if it has to wait for the end of another."""
    for last in (False, True):
        try:
            return client.create_batch_task(name, task_type, ids)
        except Rejected as error:
            if not is_unexplained(error):
                raise
            running = count_running(client, task_type)
            if running >= RUNNING_TASK_LIMIT:
                raise no_slot(error) from error
            # At one less, a task may have ended since the refusal: try again once.
            if last or running < RUNNING_TASK_LIMIT - 1:
                raise
    raise AssertionError


def no_slot(error: Rejected) -> NoTaskSlot:
    return NoTaskSlot(
        f"{error.code} {error.message}".strip(),
        operation=error.operation,
        code=TASKS_FULL,
        status=error.status,
        request_id=error.request_id,
    )


def is_unexplained(error: Rejected) -> bool:
    known = is_documented(error.code) or isinstance(error, Unauthorized)
    return not (known or error.retryable or error.maybe_applied)


def count_running(client: Client, first: TaskType) -> int:
    """Return how many tasks run, at most RUNNING_TASK_LIMIT.

    The limit is one of a resource space and of all types, but a list has only one type,
    and tasks do not name their space. If IoTDA does not answer, the limit is returned:
    the task waits, and the next refusal asks again.
    """
    running = 0
    for task_type in sorted(TASK_TYPES, key=lambda each: each != first):
        try:
            # The newest 50: older ones have probably ended.
            page = client.list_batch_tasks(task_type)
        except IotdaError as error:
            if error.retryable:
                return RUNNING_TASK_LIMIT
            if isinstance(error, Rejected):
                continue  # Not every edition of IoTDA has every type.
            raise
        running += sum(not task.finished for task in page.items)
        if running >= RUNNING_TASK_LIMIT:
            return RUNNING_TASK_LIMIT
    return running
