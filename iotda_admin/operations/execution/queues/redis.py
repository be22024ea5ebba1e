"""RQ as the transport, with REDIS_URL alone. What it loses does no harm: the sweeper calls again.

Our own backend, as django-tasks-rq is made for the backport of Django's Tasks, and brings a scheduler, a
second Django app and two testing libraries along.
"""

import logging
import os
import socket
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import close_old_connections, transaction
from django.tasks import Task, TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.utils import timezone
from django.utils.crypto import get_random_string
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq import job as rq_job
from rq.exceptions import DequeueTimeout
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.utils import import_attribute

from iotda_admin.operations.execution.queues.outage import Outage

outage = Outage("Redis", "operations go on when the sweeper next calls")

NAME = "iotda-admin"
# A web request waits so long for Redis, no longer: the operation is recorded, the sweeper calls again.
CONNECT_SECONDS, ANSWER_SECONDS = 1, 3
# An idle worker asks so often whether Redis is still there.
WAIT_SECONDS = 5
# A call that nobody took by then was repeated long ago.
FORGET_SECONDS = 3600


class Job(rq_job.Job):
    @property
    def func(self) -> Callable[..., Any]:
        """Redis says what is called: only a task may be."""
        task = import_attribute(str(self.func_name))
        if not isinstance(task, Task):
            raise SuspiciousOperation(f"{self.func_name} is no task")
        return task.call


class Backend(BaseTaskBackend):
    def enqueue(
        self, task: Task[Any, Any], args: Any, kwargs: Any
    ) -> TaskResult[Any, Any]:
        self.validate_task(task)
        call: TaskResult[Any, Any] = TaskResult(
            task=task,
            id=get_random_string(32),
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=list(args),
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        # A worker could be there before what it is called for.
        transaction.on_commit(lambda: push(call))
        return call


def push(call: TaskResult[Any, Any]) -> None:
    try:
        queue().enqueue_call(
            call.task.module_path,
            call.args,
            call.kwargs,
            job_id=call.id,
            timeout=-1,
            ttl=FORGET_SECONDS,
            result_ttl=0,
            failure_ttl=FORGET_SECONDS,
        )
        outage.over()
    except RedisError as error:
        outage.begin(error)


@cache
def queue() -> Queue:
    connection = Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    # JSON: RQ's own choice, pickle, would run whatever somebody writes into Redis.
    return Queue(NAME, connection, serializer=JSONSerializer, job_class=Job)


class Untimed(BaseDeathPenalty):
    """A task makes way by itself; RQ's alarm would end it between two statements."""

    def setup_death_penalty(self) -> None:
        pass

    cancel_death_penalty = setup_death_penalty


class Consumer(SimpleWorker):
    """Answers in this very process. RQ's own loop forks, takes the signals, and ends if Redis does."""

    failures = RedisError
    unreachable = staticmethod(outage.begin)
    death_penalty_class = Untimed

    def __init__(self) -> None:
        # Two lines for each call are no news.
        logging.getLogger("rq.worker").setLevel(logging.WARNING)
        # A connection of its own, which may wait for longer.
        connection = Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=WAIT_SECONDS + ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        name = f"{socket.gethostname()}.{os.getpid()}.{get_random_string(8)}"
        super().__init__(
            [NAME],
            name=name,
            connection=connection,
            job_class=Job,
            serializer=JSONSerializer,
            worker_ttl=WAIT_SECONDS + 15,
            prepare_for_work=False,
        )
        self.running, self.busy = True, False

    def run(self) -> None:
        while self.running:
            close_old_connections()
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()  # type: ignore[no-untyped-call]
            self.answer()

    def answer(self) -> None:
        try:
            call = self.queue_class.dequeue_any(
                self.queues,
                WAIT_SECONDS,
                self.connection,
                self.job_class,
                JSONSerializer,
            )
        except DequeueTimeout:
            call = None
        outage.over()
        if call:
            self.busy = True
            try:
                self.execute_job(*call)
            finally:
                self.busy = False
