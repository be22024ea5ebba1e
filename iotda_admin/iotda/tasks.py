"""Batch tasks: the platform's own way to freeze and unfreeze thousands of devices."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from .arguments import checked, checked_choice, checked_list
from .base import BaseClient
from .documents import FromJson, Json, about, need
from .listing import FIRST_PAGE, ListingPage, PageQuery
from .responses import Endpoint
from .transport import Response

BATCH_TARGET_LIMIT = 30_000  # device ids in one task
RUNNING_TASK_LIMIT = 10  # tasks of all types that run at once in a resource space
TASK_FINISHED = frozenset({"Success", "Fail", "PartialSuccess", "Stopped"})

TaskType = Literal[
    "freezeDevices",
    "unfreezeDevices",
    "createDevices",
    "updateDevices",
    "deleteDevices",
    "createCommands",
    "createAsyncCommands",
    "createMessages",
    "updateDeviceShadows",
    "softwareUpgrade",
    "firmwareUpgrade",
    "moduleUpgrade",
]
TASK_TYPES = get_args(TaskType)

_TASK_NAME = re.compile(r"[A-Za-z0-9_\u4e00-\u9fa5]{1,128}")


@dataclass(frozen=True, slots=True)
class TaskProgress(FromJson):
    """Numbers of targets; 0 for a number that the response omits."""

    total: int
    success: int
    fail: int
    stopped: int
    removed: int


@dataclass(frozen=True, slots=True)
class BatchTaskInfo(FromJson):
    """A batch task without its targets, of which the API returns up to 30,000.

    status  Initializing Waitting Processing Success Fail PartialSuccess Stopped
            Stopping
    """

    task_id: str
    task_type: str
    status: str
    task_progress: TaskProgress
    task_name: str = ""
    status_desc: str = ""  # why the whole task failed
    create_time: str = ""  # 20260314T081500Z

    @property
    def finished(self) -> bool:
        return self.status in TASK_FINISHED


@dataclass(frozen=True, slots=True)
class TaskError(FromJson):
    """Why a target failed; empty if it did not."""

    error_code: str = ""
    error_msg: str = ""


@dataclass(frozen=True, slots=True)
class TaskTarget(FromJson):
    """One target of a batch task.

    status  Waitting Processing Success Fail FailWaitRetry Stopped Removed
    """

    target: str  # the device id
    status: str
    error: TaskError
    output: str = ""


@dataclass(frozen=True, slots=True)
class BatchTaskPage:
    """A batch task with one page of its targets."""

    task: BatchTaskInfo
    details: ListingPage[TaskTarget]


class TaskCalls(BaseClient):
    def create_batch_task(
        self, task_name: str, task_type: TaskType, targets: Collection[str]
    ) -> tuple[str, Response]:
        """Start a task for 1 to BATCH_TARGET_LIMIT devices; return its id.

        The name has 1 to 128 letters, Chinese characters, digits and ``_``. The task
        checks its targets later: `show_batch_task` returns the outcome of each. At most
        RUNNING_TASK_LIMIT tasks run at once; the code for one more is not documented.
        """
        if not _TASK_NAME.fullmatch(task_name):
            raise ValueError(
                "a task's name has 1 to 128 letters, Chinese characters, digits and _"
            )
        body: Json = {
            "task_name": task_name,
            "task_type": checked_choice(task_type, TASK_TYPES, "task_type"),
            "targets": checked_list(targets, BATCH_TARGET_LIMIT, "target id"),
        }
        build = about(BatchTaskInfo.from_json, task_name=task_name, task_type=task_type)
        endpoint = Endpoint("CreateBatchTask", write=True)
        task, response = self._call(endpoint, "POST", "/batchtasks", build, body=body)
        return task.task_id, response

    def show_batch_task(
        self, task_id: str, page: PageQuery = FIRST_PAGE
    ) -> BatchTaskPage:
        """Return a task with one page of its targets.

        Raises Rejected with `not_found` if it does not exist, and BadResponse if the
        answer is about another task. A task that failed as a whole gives the reason in
        `status_desc` and may have no targets.
        """
        key = "task_details"
        build_task = about(BatchTaskInfo.from_json, task_id=task_id)

        def build(doc: Json) -> BatchTaskPage:
            task = build_task(need(doc, "batchtask", dict))
            # A task that has not finished may omit its targets (assumed).
            details = ListingPage[TaskTarget]((), 0, "", page.limit)
            if task.finished or key in doc:
                row = TaskTarget.from_json
                details = ListingPage.from_json(key, row, page.limit, doc)
            return BatchTaskPage(task, details)

        path = f"/batchtasks/{checked(task_id, 'task id')}"
        endpoint, query = Endpoint("ShowBatchTask"), page.to_json()
        return self._call(endpoint, "GET", path, build, query=query)[0]

    def list_batch_tasks(
        self, task_type: TaskType, page: PageQuery = FIRST_PAGE
    ) -> ListingPage[BatchTaskInfo]:
        """Return one page of the tasks of one type; the API cannot list all types."""
        return self._page(
            "ListBatchTasks",
            "/batchtasks",
            page,
            "batchtasks",
            about(BatchTaskInfo.from_json, task_type=task_type),
            task_type=checked_choice(task_type, TASK_TYPES, "task_type"),
        )
