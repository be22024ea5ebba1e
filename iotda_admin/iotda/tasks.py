"""The endpoints of batch tasks: the platform's own way to freeze and unfreeze thousands of devices."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, Self

from .answers import Endpoint
from .calls import Caller
from .devices import NO_CONTENT
from .fields import Json, need, need_id, number, section, text
from .ids import checked, checked_list
from .listing import FIRST_PAGE, ListingPage, PageQuery
from .models import Ack

BATCH_TARGET_LIMIT = 30_000  # device ids in one task
RUNNING_TASK_LIMIT = 10  # tasks running at once in a resource space
TASK_FINISHED = frozenset({"Success", "Fail", "PartialSuccess", "Stopped"})
TASK_TYPES = ("freezeDevices", "unfreezeDevices")

TaskType = Literal["freezeDevices", "unfreezeDevices"]

_TASK_NAME = re.compile(r"[A-Za-z0-9_\u4e00-\u9fff]{1,128}")


def _known(task_type: str) -> str:
    if task_type not in TASK_TYPES:
        raise ValueError(
            f"task_type is one of {', '.join(TASK_TYPES)}, not {task_type!r}"
        )
    return task_type


def _path(task_id: str) -> str:
    return f"/batchtasks/{checked(task_id, 'task id')}"


@dataclass(frozen=True, slots=True)
class TaskProgress:
    total: int
    processing: int
    success: int
    fail: int
    waitting: int  # the API's spelling
    fail_wait_retry: int
    stopped: int
    removed: int

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(**{name: number(doc, name) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class BatchTaskInfo:
    """The platform's own task. The targets it echoes (up to 30,000) are not kept."""

    task_id: str  # required
    task_type: str  # required
    status: str  # required; Initializing Waitting Processing Success Fail PartialSuccess Stopped Stopping
    task_name: str
    status_desc: str  # why the whole task failed
    create_time: str
    progress: TaskProgress
    http_status: int = 0  # 0 in a list row
    request_id: str = ""

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(
            task_id=need_id(doc, "task_id"),
            task_type=need_id(doc, "task_type"),
            status=need_id(doc, "status"),
            task_name=text(doc, "task_name"),
            status_desc=text(doc, "status_desc"),
            create_time=text(doc, "create_time"),
            progress=TaskProgress.from_json(section(doc, "task_progress")),
        )

    @property
    def finished(self) -> bool:
        return self.status in TASK_FINISHED


@dataclass(frozen=True, slots=True)
class TaskTarget:
    """How one target of a batch task ended. `status` Waitting Processing Success Fail FailWaitRetry Stopped
    Removed."""

    target: str  # required
    status: str  # required
    output: str
    error_code: str
    error_msg: str

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        error = section(doc, "error")
        return cls(
            need_id(doc, "target"),
            need_id(doc, "status"),
            text(doc, "output"),
            text(error, "error_code"),
            text(error, "error_msg"),
        )


@dataclass(frozen=True, slots=True)
class BatchTaskPage:
    """A batch task with one page of how its targets ended."""

    task: BatchTaskInfo
    details: ListingPage[TaskTarget]


class TaskCalls(Caller):
    def create_batch_task(
        self,
        task_name: str,
        task_type: TaskType,
        targets: Collection[str],
        *,
        app_id: str = "",
    ) -> BatchTaskInfo:
        """Freeze or unfreeze 1 to BATCH_TARGET_LIMIT devices, in the platform's own time.

        The name is 1 to 128 of letters, Chinese characters, digits and ``_``; no hyphen, no space. Targets
        are looked at later: each ends in its own row of `show_batch_task`. RUNNING_TASK_LIMIT tasks may run
        at once; the code of one more is not documented. The task cannot be retried or stopped.
        """
        if not _TASK_NAME.fullmatch(task_name):
            raise ValueError(
                "a task's name is 1 to 128 letters, Chinese characters, digits and underscores"
            )
        body: Json = {
            "task_name": task_name,
            "task_type": _known(task_type),
            "targets": checked_list(targets, BATCH_TARGET_LIMIT, "target id"),
        }
        if app_id:
            body["app_id"] = checked(app_id, "app id")
        operation = Endpoint("CreateBatchTask", write=True)
        task, answer = self._call(
            operation, "POST", "/batchtasks", BatchTaskInfo.from_json, body=body
        )
        return replace(task, http_status=answer.status, request_id=answer.request_id)

    def show_batch_task(
        self,
        task_id: str,
        page: PageQuery = FIRST_PAGE,
        *,
        task_detail_status: str = "",
        target: str = "",
    ) -> BatchTaskPage:
        """A task and one page of its targets, all or those of one status or device id.

        Status 404 when there is none. A task that failed as a whole says why in `status_desc` and may have
        no rows.
        """

        def build(doc: Json) -> BatchTaskPage:
            task = BatchTaskInfo.from_json(need(doc, "batchtask", dict))
            return BatchTaskPage(task, _details(doc, task, page.limit))

        query = {
            "task_detail_status": task_detail_status,
            "target": target,
            **page.to_json(),
        }
        return self._read("ShowBatchTask", "GET", _path(task_id), build, query=query)

    def list_batch_tasks(
        self,
        task_type: TaskType,
        page: PageQuery = FIRST_PAGE,
        *,
        app_id: str = "",
        status: str = "",
    ) -> ListingPage[BatchTaskInfo]:
        """One page of the tasks of one type; the API has no list of all types."""
        filters = {"task_type": _known(task_type), "app_id": app_id, "status": status}
        return self._page(
            "ListBatchTasks",
            "/batchtasks",
            page,
            filters,
            "batchtasks",
            BatchTaskInfo.from_json,
        )

    def delete_batch_task(self, task_id: str) -> Ack:
        """Delete a finished task and its rows; 204 is the one documented success."""
        operation = Endpoint(
            "DeleteBatchTask", write=True, done=NO_CONTENT, bodiless=True
        )
        return self._acknowledged(operation, "DELETE", _path(task_id))


def _details(doc: Json, task: BatchTaskInfo, limit: int) -> ListingPage[TaskTarget]:
    """A task that has not started may leave its rows out (assumed); a finished one may not."""
    if "task_details" not in doc and not task.finished:
        return ListingPage((), 0, "", limit)
    return ListingPage.from_json(doc, "task_details", TaskTarget.from_json, limit)
