"""Runs batch tasks: freezes or unfreezes their devices one by one as time passes."""

from collections.abc import Callable

from ..state.models import BatchTask, Device, TaskDetail
from ..state.store import State
from .devices import find_device, freeze, unfreeze
from .errors import ApiError, unknown_device

ACTIONS: dict[str, Callable[[State, Device, float], bool]] = {
    "freezeDevices": freeze,
    "unfreezeDevices": unfreeze,
}
PROCESSING_SECONDS = 0.1  # so many seconds' worth of devices show as Processing


def advance_tasks(state: State) -> None:
    """Bring the tasks up to date. Call it before reading the state."""
    now = state.now()
    for task in state.running_tasks:
        _advance(state, task, now)
    state.running_tasks = [task for task in state.running_tasks if not task.finished]


def _advance(state: State, task: BatchTask, now: float) -> None:
    if now < task.starts:
        half = state.settings.task_delay_s / 2
        task.status = "Initializing" if now < task.created + half else "Waitting"
        return
    task.status = "Processing"
    speed, total = state.settings.task_speed, len(task.details)
    due = min(total, max(task.done, int((now - task.starts) * speed)))
    _run(state, task, task.details.items[task.done : due], now)
    for detail in task.details.items[
        due : due + max(1, int(speed * PROCESSING_SECONDS))
    ]:
        task.set_detail_status(detail, "Processing")
    task.done = due
    if due == total:
        _finish(task)


def _run(state: State, task: BatchTask, details: list[TaskDetail], now: float) -> None:
    if not details:
        return
    targets = [detail.target for detail in details]
    entry = state.journal.add(
        now,
        task.type,
        target_type="device",
        target_ids=targets,
        request_id=task.request_id,
    )
    for detail in details:
        try:
            if ACTIONS[task.type](state, _device(state, task, detail.target), now):
                entry.applied.append(detail.target)
            task.set_detail_status(detail, "Success")
        except ApiError as error:  # assumed: the same errors as for a single device
            detail.error = {"error_code": error.code, "error_msg": error.message}
            task.set_detail_status(detail, "Fail")


def _device(state: State, task: BatchTask, device_id: str) -> Device:
    device = find_device(state, device_id)
    if task.space not in (None, device.product.space):
        raise unknown_device()  # assumed: a task of one space does not see the others
    return device


def _finish(task: BatchTask) -> None:
    if not task.details:  # there are no device groups, so a filter by group finds none
        task.status_desc = "The device group does not exist."
    success, fail = task.counts["Success"], task.counts["Fail"]
    task.status = (
        "Success" if not fail and success else "PartialSuccess" if success else "Fail"
    )
