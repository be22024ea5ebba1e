"""The endpoints of batch tasks, for tasks that freeze or unfreeze devices."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from ..schema import between, pattern
from ..server import Request, Response
from ..state.clock import format_basic, parse_basic
from ..state.models import FINISHED, BatchTask, ResourceSpace, TaskDetail
from ..state.records import RecordList
from ..state.store import State
from .applications import find_space
from .errors import ApiError, invalid_input, invalid_time
from .filters import read_choice, read_text
from .paging import Window, page
from .routers import iotda
from .task_runs import ACTIONS

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
MAX_DELAY_SECONDS = 7 * 86_400


@dataclass
class TaskPolicy:
    schedule_time: str | None = None
    retry_count: Annotated[int, between(1, 5)] | None = None
    retry_interval: Annotated[int, between(0, 1440)] | None = None


@dataclass
class NewTask:
    task_name: Annotated[str, pattern(r"[\u4e00-\u9fa5A-Za-z0-9_]{1,128}")]
    task_type: str
    app_id: str | None = None
    targets: list[str] | None = None
    targets_filter: dict[str, Any] | None = None
    document_source: str | None = None
    task_policy: TaskPolicy | None = None


def task_row(task: BatchTask) -> dict[str, Any]:
    names = (
        "processing",
        "success",
        "fail",
        "waitting",
        "fail_wait_retry",
        "stopped",
        "removed",
    )
    counts = {name: task.counts[name.capitalize()] for name in names}
    return {
        "task_id": task.task_id,
        "task_name": task.name,
        "task_type": task.type,
        **task.repeated,
        "status": task.status,
        "status_desc": task.status_desc,
        "task_progress": {"total": len(task.details)} | counts,
        "create_time": format_basic(task.created),
    }


def detail_row(detail: TaskDetail) -> dict[str, Any]:
    row = {"target": detail.target, "status": detail.status, "output": ""}
    return row | {"error": detail.error} if detail.error else row


@iotda.route("POST", "/batchtasks")
def create_batch_task(state: State, request: Request) -> Response:
    new = request.read(NewTask)
    if new.task_type not in ACTIONS:
        raise invalid_input(f"task_type must be one of {', '.join(ACTIONS)}.")
    space = find_space(state, new.app_id) if new.app_id else None
    targets = _targets(state, new)
    _check_quota(state, space)
    task = _create_task(state, request, new, space, targets)
    state.tasks[task.task_id] = task
    request.entry.applied.append(task.task_id)
    state.running_tasks.append(task)
    response = Response(201, task_row(task))
    if state.settings.echo_targets == "create":
        task.repeated.pop("targets", None)
    return response


def _create_task(
    state: State,
    request: Request,
    new: NewTask,
    space: ResourceSpace | None,
    targets: list[str],
) -> BatchTask:
    starts, first = (
        _start_time(state, new.task_policy, request.now),
        state.record_ids.next(request.now),
    )
    state.record_ids.last += len(targets)
    return BatchTask(
        record_id=first,
        name=new.task_name,
        type=new.task_type,
        space=space,
        details=RecordList(
            [TaskDetail(first + at, target) for at, target in enumerate(targets, 1)]
        ),
        repeated=_repeated(new),
        created=request.now,
        starts=starts,
        request_id=request.entry.request_id,
        counts=Counter(Waitting=len(targets)),
    )


def _repeated(new: NewTask) -> dict[str, Any]:
    policy = asdict(new.task_policy) if new.task_policy else {}
    parts = {
        "targets": new.targets,
        "targets_filter": new.targets_filter,
        "task_policy": {
            name: value for name, value in policy.items() if value is not None
        }
        or None,
    }
    return {name: value for name, value in parts.items() if value is not None}


def _targets(state: State, new: NewTask) -> list[str]:
    """Return the devices from one source: the IDs, else the filter, else the file."""
    if new.targets:
        limit = state.settings.task_targets
        if len(new.targets) > limit:
            raise invalid_input(f"targets must have at most {limit} items.")
        return list(dict.fromkeys(new.targets))
    if new.targets_filter:
        return []
    if new.document_source:
        raise ApiError(404, "IOTDA.014600", "The batch task file does not exist.")
    raise invalid_input("targets must not be empty.")  # assumed


def _check_quota(state: State, space: ResourceSpace | None) -> None:
    running = sum(task.space is space for task in state.running_tasks)
    if running >= state.settings.running_tasks:
        message = f"{running} batch tasks are running already."
        raise ApiError(403, state.settings.task_quota_code, message)


def _start_time(state: State, policy: TaskPolicy | None, now: float) -> float:
    earliest = now + state.settings.task_delay_s
    if policy is None:
        return earliest
    if (policy.retry_count is None) != (policy.retry_interval is None):
        raise invalid_input("retry_count and retry_interval must be given together.")
    if policy.schedule_time is None:
        return earliest
    scheduled = parse_basic(policy.schedule_time)
    if scheduled is None:
        raise invalid_time("schedule_time")
    if scheduled > now + MAX_DELAY_SECONDS:
        raise invalid_input("schedule_time must be at most seven days ahead.")
    return max(scheduled, earliest)


@iotda.route("GET", "/batchtasks")
def list_batch_tasks(state: State, request: Request) -> Response:
    query = request.query
    task_type, status = (
        read_text(query, "task_type", 64),
        read_choice(query, "status", STATUSES),
    )
    if task_type is None:
        raise invalid_input("task_type must be given.")  # assumed code
    app_id = read_text(query, "app_id", 36)
    tasks = [
        task
        for task in state.tasks.values()
        if task.type == task_type
        and status in (None, task.status)
        and (app_id is None or (task.space and task.space.app_id) == app_id)
    ]
    window = Window.read(query)
    return Response(
        200, page("batchtasks", RecordList(tasks), window, task_row, state.settings)
    )


def _requested_task(state: State, request: Request) -> BatchTask:
    try:
        return state.tasks[request.path_params["task_id"]]
    except KeyError:
        code = state.settings.unknown_task_code
        raise ApiError(404, code, "The batch task does not exist.") from None


@iotda.route("GET", "/batchtasks/{task_id}")
def show_batch_task(state: State, request: Request) -> Response:
    task, query = _requested_task(state, request), request.query
    status = read_choice(query, "task_detail_status", DETAIL_STATUSES)
    target = read_text(query, "target", 128)
    details = task.details
    if status or target:
        details = RecordList(
            [
                one
                for one in details.items
                if status in (None, one.status) and target in (None, one.target)
            ]
        )
    rows = page("task_details", details, Window.read(query), detail_row, state.settings)
    return Response(200, {"batchtask": task_row(task)} | rows)


@iotda.route("DELETE", "/batchtasks/{task_id}")
def delete_batch_task(state: State, request: Request) -> Response:
    task = _requested_task(state, request)
    if not task.finished:
        code = state.settings.task_refused_code
        raise ApiError(403, code, "A batch task cannot be deleted before its end.")
    del state.tasks[task.task_id]
    request.entry.applied.append(task.task_id)
    return Response(204)


@iotda.route("POST", "/batchtasks/{task_id}/retry")
def retry_batch_task(state: State, request: Request) -> Response:
    """Refuse: only upgrade tasks can be retried."""
    raise _wrong_type(state, request)


@iotda.route("POST", "/batchtasks/{task_id}/stop")
def stop_batch_task(state: State, request: Request) -> Response:
    """Refuse: only upgrade tasks can be stopped."""
    raise _wrong_type(state, request)


def _wrong_type(state: State, request: Request) -> ApiError:
    task = _requested_task(state, request)
    message = f"Operation not allowed for a task of type {task.type}."
    return ApiError(400, state.settings.task_refused_code, message)
