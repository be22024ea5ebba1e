"""The queue is only a messenger: the database or Redis, by a setting alone, and either may fail."""

import signal

import pytest

from tests import redis_server
from tests.asking import writes
from tests.operations.deployment import until
from tests.redis_server import RedisServer

pytestmark = pytest.mark.skipif(
    bool(redis_server.missing()) and not redis_server.must_be_here(), reason=redis_server.missing()
)
ASK = """
from django.contrib.auth.models import User
from iotda_admin.connection import client
from iotda_admin.operations.door import Asker, Wanted, ask, start
asker = Asker(User.objects.get(username="operator"), "operator", "test")
start(ask("device.freeze", [Wanted(id) for id in {ids!r}], asker=asker, reason="r", form_key="k"), client())
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
    return {state for (state,) in deployment.rows(f"select state from operations_{table}")}


def done(deployment, n):
    return deployment.rows("select count(*) from operations_target where state='ok'") == [(n,)]


def busy(deployment, cloud, ids):
    """A worker in the middle of an operation on these; one call meets the fault."""
    deployment.shell(ASK.format(ids=list(ids)))
    worker = deployment.start("manage.py", "worker")
    until(lambda: [entry for entry in cloud.journal("FreezeDevice") if entry["fault"]])
    return worker


@pytest.mark.parametrize("over", TRANSPORTS, indirect=True)
def test_an_operation_is_done_by_a_worker(over, cloud):
    over.shell(ASK.format(ids=list(cloud.free(10))))
    over.start("manage.py", "worker")
    until(lambda: done(over, 10))
    assert len(writes(cloud)) == 10


def test_with_redis_nothing_is_queued_in_the_database(deployment, redis, cloud):
    deployment.env["REDIS_URL"] = redis.url
    deployment.shell(ASK.format(ids=list(cloud.free(3))))
    assert deployment.rows("select * from django_tasks_database_dbtaskresult") == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("over", TRANSPORTS, indirect=True)
def test_a_stopped_worker_hands_back_what_it_has_not_begun(over, cloud, signum):
    cloud.fault("FreezeDevice", "latency", seconds=0.1)
    worker = busy(over, cloud, cloud.free(40))
    worker.send_signal(signum)
    assert worker.wait(10) == 0
    assert states(over) == {"done", "pending"}
    assert states(over, "target") == {"ok", "pending"}


@pytest.mark.parametrize("over", TRANSPORTS, indirect=True)
def test_a_stopped_worker_leaves_hanging_calls_as_unknown(over, cloud):
    over.env["IOTDA_DEADLINE"] = "30"
    cloud.fault("FreezeDevice", "hang", match={"nth": [5, 6]}, moment="after")
    worker = busy(over, cloud, cloud.free(20))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert "sent" not in states(over) | states(over, "target")
    assert over.rows("select count(*) from operations_chunk where state='unknown'") in ([(1,)], [(2,)])


@pytest.mark.parametrize("over", TRANSPORTS, indirect=True)
def test_an_idle_worker_stops_at_once(over, cloud):
    over.shell(ASK.format(ids=list(cloud.free(2))))
    worker = over.start("manage.py", "worker")
    until(lambda: done(over, 2))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(2) == 0
