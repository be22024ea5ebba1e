"""A batch task: frozen or unfrozen device by device as time passes."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .clock import basic
from .devices import freeze, unfreeze
from .errors import Refusal, no_device
from .records import Records, marker
from .things import Device, Space
from .world import World

ACTS: dict[str, Callable[[World, Device, float], bool]] = {
    "freezeDevices": freeze,
    "unfreezeDevices": unfreeze,
}
FINISHED = ("Success", "Fail", "PartialSuccess", "Stopped")
AT_ONCE = 0.1  # seconds' worth of devices that show as Processing


@dataclass(slots=True)
class Detail:
    record: int
    target: str
    status: str = "Waitting"
    error: dict[str, str] | None = None

    def row(self) -> dict[str, Any]:
        row = {"target": self.target, "status": self.status, "output": ""}
        return row | {"error": self.error} if self.error else row


@dataclass
class Task:
    record: int
    name: str
    type: str
    space: Space | None  # None: devices of any space
    details: Records[Detail]
    asked: dict[str, Any]  # what the answer repeats of the request
    created: float
    starts: float
    request_id: str
    status: str = "Initializing"
    status_desc: str = ""
    done: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def id(self) -> str:
        return marker(self.record)

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    def row(self) -> dict[str, Any]:
        counts = self.counts
        names = (
            "processing",
            "success",
            "fail",
            "waitting",
            "fail_wait_retry",
            "stopped",
            "removed",
        )
        progress = {"total": len(self.details)} | {
            name: counts[name.capitalize()] for name in names
        }
        return {
            "task_id": self.id,
            "task_name": self.name,
            "task_type": self.type,
            **self.asked,
            "status": self.status,
            "status_desc": self.status_desc,
            "task_progress": progress,
            "create_time": basic(self.created),
        }


def advance(world: World) -> None:
    """Brings the tasks up to the present. Called before anything looks at the world."""
    now = world.now()
    for task in world.running:
        _advance(world, task, now)
    world.running = [task for task in world.running if not task.finished]


def _advance(world: World, task: Task, now: float) -> None:
    if now < task.starts:
        half = world.settings.task_delay_s / 2
        task.status = "Initializing" if now < task.created + half else "Waitting"
        return
    task.status = "Processing"
    speed, total = world.settings.task_speed, len(task.details)
    due = min(total, max(task.done, int((now - task.starts) * speed)))
    _carry_out(world, task, task.details.items[task.done : due], now)
    for detail in task.details.items[due : due + max(1, int(speed * AT_ONCE))]:
        _set(task, detail, "Processing")
    task.done = due
    if due == total:
        _finish(task)


def _carry_out(world: World, task: Task, details: list[Detail], now: float) -> None:
    if not details:
        return
    targets = [detail.target for detail in details]
    entry = world.journal.start(
        now,
        task.type,
        target_type="device",
        target_ids=targets,
        request_id=task.request_id,
    )
    for detail in details:
        try:
            if ACTS[task.type](world, _device(world, task, detail.target), now):
                entry.applied.append(detail.target)
            _set(task, detail, "Success")
        except Refusal as no:  # assumed: in the words of the single call
            detail.error = {"error_code": no.code, "error_msg": no.message}
            _set(task, detail, "Fail")


def _device(world: World, task: Task, device_id: str) -> Device:
    device = world.device(device_id)
    if task.space not in (None, device.product.space):
        raise no_device()  # assumed: a task for one space does not see the others
    return device


def _set(task: Task, detail: Detail, status: str) -> None:
    task.counts[detail.status] -= 1
    task.counts[status] += 1
    detail.status = status


def _finish(task: Task) -> None:
    success, fail = task.counts["Success"], task.counts["Fail"]
    task.status = (
        "Success" if not fail and success else "PartialSuccess" if success else "Fail"
    )
