"""Create, list, show and delete batch tasks of the freezing kinds; retry and stop, which they refuse."""

from collections import Counter
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from .calls import Answer, Call
from .clock import read_basic
from .errors import Refusal, invalid
from .filters import choice, text
from .paging import Window, page
from .records import Records
from .tasks import ACTS, FINISHED, Detail, Task
from .things import Space
from .world import World

TYPES = tuple(ACTS)
STATUSES = ("Initializing", "Waitting", "Processing", "Stopping", *FINISHED)
DETAIL_STATUSES = (
    "Waitting",
    "Processing",
    "Success",
    "Fail",
    "FailWaitRetry",
    "Stopped",
    "Removed",
)
AHEAD = 7 * 86_400


class TaskPolicy(BaseModel):
    schedule_time: str | None = None
    retry_count: int | None = Field(None, ge=0, le=5)
    retry_interval: int | None = Field(None, ge=0, le=1440)


class NewTask(BaseModel):
    task_name: Annotated[
        str, StringConstraints(pattern=r"^[\p{Han}A-Za-z0-9_]{1,128}$")
    ]
    task_type: str
    app_id: str | None = None
    targets: list[str] | None = None
    targets_filter: dict[str, Any] | None = None
    document_source: str | None = None
    task_policy: TaskPolicy | None = None


def create_batch_task(world: World, call: Call) -> Answer:
    new = call.read(NewTask)
    if new.task_type not in TYPES:
        raise invalid(
            f"task_type must be one of {', '.join(TYPES)}."
        )  # the others are not played
    space = world.space(new.app_id) if new.app_id else None
    targets = _targets(world, new)
    _refuse_too_many(world, space)
    first = world.record_ids(call.now)
    world.record_ids.last += len(targets)
    details = [
        Detail(first + number, target) for number, target in enumerate(targets, 1)
    ]
    asked = new.model_dump(
        include={"targets", "targets_filter", "task_policy"}, exclude_none=True
    )
    task = Task(
        record=first,
        name=new.task_name,
        type=new.task_type,
        space=space,
        details=Records(details),
        asked=asked,
        created=call.now,
        starts=_start(world, new.task_policy, call.now),
        request_id=call.entry.request_id,
        counts=Counter(Waitting=len(details)),
    )
    world.tasks[task.id] = task
    call.entry.applied.append(task.id)
    _put_on(world, task)
    answer = Answer(world.settings.create_task_status, task.row())
    if world.settings.echo_targets == "create":
        task.asked = {name: value for name, value in asked.items() if name != "targets"}
    return answer


def _put_on(world: World, task: Task) -> None:
    if task.details.items:
        world.running.append(task)
    else:  # there are no device groups here, so a filter by group finds none
        task.status, task.status_desc = "Fail", "The device group does not exist."


def _targets(world: World, new: NewTask) -> list[str]:
    """Of several sources one is used: ids, else the filter, else the file."""
    if new.targets:
        if len(new.targets) > world.settings.task_targets:
            raise invalid(
                f"targets must have at most {world.settings.task_targets} items."
            )
        return list(dict.fromkeys(new.targets))
    if new.targets_filter:
        return []
    if new.document_source:
        raise Refusal(404, "IOTDA.014600", "The batch task file does not exist.")
    raise invalid("targets must not be empty.")  # assumed


def _refuse_too_many(world: World, space: Space | None) -> None:
    running = sum(task.space is space for task in world.running)
    if running >= world.settings.running_tasks:
        raise Refusal(
            403,
            world.settings.task_quota_code,
            f"{running} batch tasks are running already.",
        )


def _start(world: World, policy: TaskPolicy | None, now: float) -> float:
    soon = now + world.settings.task_delay_s
    if policy is None:
        return soon
    if (policy.retry_count is None) != (policy.retry_interval is None):
        raise invalid("retry_count and retry_interval must be given together.")
    if policy.schedule_time is None:
        return soon
    at = read_basic(policy.schedule_time)
    if at is None:
        raise Refusal(
            400,
            "IOTDA.000009",
            "Invalid input. schedule_time must look like 20151212T121212Z.",
        )
    if at > now + AHEAD:
        raise invalid("schedule_time must be at most seven days ahead.")
    return max(at, soon)


def list_batch_tasks(world: World, call: Call) -> Answer:
    query = call.query
    task_type, status = text(query, "task_type", 64), choice(query, "status", STATUSES)
    if task_type is None:
        raise invalid("task_type must be given.")  # assumed code
    app_id = text(query, "app_id", 36)
    tasks = [
        task
        for task in world.tasks.values()
        if task.type == task_type
        and status in (None, task.status)
        and (app_id is None or (task.space and task.space.app_id) == app_id)
    ]
    return Answer(
        200,
        page(
            "batchtasks", Records(tasks), Window.read(query), Task.row, world.settings
        ),
    )


def _task(world: World, call: Call) -> Task:
    try:
        return world.tasks[call.path["task_id"]]
    except KeyError:
        raise Refusal(
            404, world.settings.unknown_task_code, "The batch task does not exist."
        ) from None


def show_batch_task(world: World, call: Call) -> Answer:
    task, query = _task(world, call), call.query
    status, target = (
        choice(query, "task_detail_status", DETAIL_STATUSES),
        text(query, "target", 128),
    )
    details = task.details
    if status or target:
        details = Records(
            [
                one
                for one in details.items
                if status in (None, one.status) and target in (None, one.target)
            ]
        )
    rows = page("task_details", details, Window.read(query), Detail.row, world.settings)
    return Answer(200, {"batchtask": task.row()} | rows)


def delete_batch_task(world: World, call: Call) -> Answer:
    task = _task(world, call)
    if not task.finished:
        raise Refusal(
            400,
            world.settings.task_refused_code,
            "A batch task cannot be deleted before its end.",
        )
    del world.tasks[task.id]
    call.entry.applied.append(task.id)
    return Answer(204)


def refuse_batch_task(world: World, call: Call) -> Answer:
    """RetryBatchTask, StopBatchTask: for upgrades only. To retry a freeze, one makes a new task."""
    task = _task(world, call)
    raise Refusal(
        400,
        world.settings.task_refused_code,
        f"Operation not allowed for a task of type {task.type}.",
    )
