"""The queue is only a messenger: the database or Redis, by a setting alone, and either may fail."""

import signal
import sqlite3
from contextlib import closing

import pytest
from django.db import transaction

from iotda_admin.operations.execution.queues import redis as redis_queue
from iotda_admin.operations.execution.tasks import advance
from tests import redis_server
from tests.asking import asked, writes
from tests.operations.deployment import until
from tests.redis_server import RedisServer

pytestmark = pytest.mark.skipif(
    bool(redis_server.missing()) and not redis_server.must_be_here(),
    reason=redis_server.missing(),
)
ASK = """
from django.contrib.auth.models import User
from iotda_admin.rate.connection import client
from iotda_admin.access.actor import Actor
from iotda_admin.operations.services import dispatch
from tests.asking import create
actor = Actor(User.objects.get(username="operator"), "operator", "test")
dispatch(create("device.freeze", {ids!r}, actor), client())
"""
POST = """
import json
from django.contrib.auth.models import User
from django.test import Client
client = Client(SERVER_NAME="127.0.0.1")
client.force_login(User.objects.get(username="operator"))
answer = client.post("/devices/selection.freeze/", {form!r})
print(json.dumps([answer.status_code]))
"""
TRANSPORTS = ["database", "redis"]


@pytest.fixture
def redis(tmp_path):
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def over(deployment, request):
    """The deployment with this transport: one setting differs."""
    if request.param == "redis":
        deployment.env["REDIS_URL"] = request.getfixturevalue("redis").url
    return deployment


def states(deployment, table="chunk"):
    return {
        state for (state,) in deployment.rows(f"select state from operations_{table}")
    }


def done(deployment, n):
    return deployment.rows(
        "select count(*) from operations_target where state='ok'"
    ) == [(n,)]


def busy(deployment, cloud, ids):
    """A worker in the middle of an operation on these; one call meets the fault."""
    deployment.env["IOTDA_IN_FLIGHT"] = "2"
    deployment.shell(ASK.format(ids=list(ids)))
    worker = deployment.start("manage.py", "worker")
    until(lambda: [entry for entry in cloud.journal("FreezeDevice") if entry["fault"]])
    return worker


@pytest.mark.parametrize("over", TRANSPORTS, indirect=True)
def test_a_worker_does_what_is_asked_and_when_idle_stops_at_once(over, cloud):
    over.shell(ASK.format(ids=list(cloud.free(10))))
    worker = over.start("manage.py", "worker")
    until(lambda: done(over, 10))
    assert len(writes(cloud)) == 10
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(2) == 0


def test_with_redis_nothing_is_queued_in_the_database(deployment, redis, cloud):
    deployment.env["REDIS_URL"] = redis.url
    deployment.shell(ASK.format(ids=list(cloud.free(3))))
    assert deployment.rows("select * from django_tasks_database_dbtaskresult") == []


@pytest.mark.parametrize(
    ("over", "signum"),
    [("database", signal.SIGTERM), ("redis", signal.SIGTERM), ("redis", signal.SIGINT)],
    indirect=["over"],
)
def test_a_stopped_worker_hands_back_what_it_has_not_begun(over, cloud, signum):
    cloud.fault("FreezeDevice", "latency", seconds=0.1)
    worker = busy(over, cloud, cloud.free(10))
    worker.send_signal(signum)
    assert worker.wait(10) == 0
    assert states(over) == {"done", "pending"}
    assert states(over, "target") == {"ok", "pending"}


@pytest.mark.parametrize("over", TRANSPORTS, indirect=True)
def test_a_stopped_worker_leaves_hanging_calls_as_unknown(over, cloud):
    over.env["IOTDA_DEADLINE"] = "30"
    cloud.fault("FreezeDevice", "hang", match={"nth": [4, 5]}, moment="after")
    worker = busy(over, cloud, cloud.free(10))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert "sent" not in states(over) | states(over, "target")
    assert over.rows("select count(*) from operations_chunk where state='unknown'") in (
        [(1,)],
        [(2,)],
    )


def test_without_redis_a_form_is_answered_and_done_when_it_is_back(
    deployment, redis, cloud
):
    deployment.env["REDIS_URL"] = redis.url
    redis.stop()
    form = asked(target=list(cloud.free(5)))
    assert deployment.shell(POST.format(form=form)) == [[302]]
    assert states(deployment) == {"pending"}
    deployment.start("manage.py", "worker")
    redis.start()
    until(lambda: done(deployment, 5))


def test_a_worker_outlives_redis_and_what_redis_forgot(deployment, redis, cloud):
    deployment.env["REDIS_URL"] = redis.url
    cloud.fault("FreezeDevice", "latency", seconds=0.1)
    worker = busy(deployment, cloud, cloud.free(7))
    redis.stop()
    until(lambda: done(deployment, 7))
    redis.start()
    deployment.shell(POST.format(form=asked(target=list(cloud.free(10)[7:]))))
    until(lambda: done(deployment, 10))
    assert worker.poll() is None


def test_an_idle_worker_that_lost_redis_stops_at_once(deployment, redis, cloud):
    deployment.env["REDIS_URL"] = redis.url
    deployment.shell(ASK.format(ids=list(cloud.free(2))))
    worker = deployment.start("manage.py", "worker")
    until(lambda: done(deployment, 2))
    redis.stop()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(2) == 0


def test_a_second_signal_ends_it_at_once(deployment, cloud):
    deployment.env["IOTDA_DEADLINE"] = "30"
    cloud.fault("FreezeDevice", "hang")
    worker = busy(deployment, cloud, cloud.free(10))
    # Two of a kind at the same moment are one.
    until(lambda: worker.send_signal(signal.SIGTERM) or worker.poll())
    assert worker.returncode == -signal.SIGTERM


def test_a_stopped_worker_ends_in_time_though_the_database_is_locked(deployment, cloud):
    cloud.fault("FreezeDevice", "latency", seconds=0.1)
    worker = busy(deployment, cloud, cloud.free(10))
    with closing(
        sqlite3.connect(deployment.folder / "iotda-admin.sqlite3", timeout=10)
    ) as somebody:
        somebody.execute("begin immediate")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == -signal.SIGALRM
    cloud.heal()
    deployment.rows(
        "update operations_chunk set lease_until='2026-01-01' where state='sent'"
    )
    deployment.rows("update operations_operation set nudged_at='2026-01-01'")
    deployment.start("manage.py", "worker")
    until(lambda: done(deployment, 10))


@pytest.fixture
def queue(redis, settings):
    settings.REDIS_URL = redis.url
    redis_queue.queue.cache_clear()
    yield redis_queue.queue()
    redis_queue.queue.cache_clear()


def test_only_a_task_is_called(queue):
    queue.enqueue_call("os.getcwd")
    redis_queue.Consumer().answer()
    (failed,) = queue.failed_job_registry.get_job_ids()
    assert "is no task" in queue.fetch_job(failed).latest_result().exc_string


@pytest.mark.django_db(transaction=True)
def test_a_call_waits_for_what_it_is_about(queue):
    backend = redis_queue.Backend("default", {})
    with transaction.atomic():
        backend.enqueue(advance, [], {})
        assert queue.count == 0
    assert queue.count == 1


@pytest.mark.django_db(transaction=True)
def test_an_outage_is_told_once(queue, redis, caplog):
    backend = redis_queue.Backend("default", {})
    caplog.set_level("WARNING")
    redis.stop()
    for _call in range(3):
        backend.enqueue(advance, [], {})
    redis.start()
    backend.enqueue(advance, [], {})
    assert [message[:16] for message in caplog.messages] == [
        "Redis cannot be ",
        "Redis can be rea",
    ]
