"""The worker as a process: it reads our rows, and a signal ends it in time."""

import signal
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from tests.cloud import Cloud
from tests.operation_helpers import OTHER_KEY, change_form, write_requests
from tests.operations.deployment import Deployment, until

ASK = """
from django.contrib.auth.models import User
from iotda_admin.rate.connection import client
from iotda_admin.access.actor import Actor
from iotda_admin.operations.services import dispatch
from tests.operation_helpers import create
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
FREEZABLE = """
select device_id from devices_device where gateway_id=device_id and status<>'FROZEN'
order by device_id limit 40
"""


def states(deployment: Deployment, table: str = "chunk") -> set[Any]:
    return {
        state for (state,) in deployment.rows(f"select state from operations_{table}")
    }


def ok_count(deployment: Deployment) -> Any:
    ok = "select count(*) from operations_target where state='ok'"
    return deployment.rows(ok)[0][0]


def done(deployment: Deployment, n: Any) -> bool:
    return ok_count(deployment) == n


def busy(deployment: Deployment, cloud: Cloud, ids: Any) -> Any:
    """A worker in the middle of an operation on these; one call meets the fault."""
    deployment.env["IOTDA_IN_FLIGHT"] = "2"
    deployment.shell(ASK.format(ids=list(ids)))
    worker = deployment.start("manage.py", "worker")
    until(lambda: [entry for entry in cloud.journal("FreezeDevice") if entry["fault"]])
    return worker


def test_a_worker_sends_recorded_operations_and_stops_at_once_when_idle(
    deployment: Deployment, cloud: Cloud
) -> None:
    deployment.shell(ASK.format(ids=list(cloud.free(10))))
    worker = deployment.start("manage.py", "worker")
    until(lambda: done(deployment, 10))
    assert len(write_requests(cloud)) == 10
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(2) == 0


def test_an_idle_worker_finds_a_later_operation(
    deployment: Deployment, cloud: Cloud
) -> None:
    first, *others = cloud.free(6)
    deployment.shell(ASK.format(ids=[first]))
    deployment.start("manage.py", "worker")
    until(lambda: done(deployment, 1))
    assert deployment.shell(
        POST.format(form=change_form(target=others, key=OTHER_KEY))
    ) == [[302]]
    until(lambda: done(deployment, 6))


def test_a_worker_that_starts_accepts_another_database_before_it_is_used(
    deployment: Deployment, cloud: Cloud
) -> None:
    """A fresh database beside the file of a former one holds no later work."""
    (deployment.folder / "audit-head").write_text(f"900:{'0' * 64}")
    deployment.start("manage.py", "worker")
    restored = "select count(*) from audit_event where kind='database.restored'"
    until(lambda: deployment.rows(restored) == [(1,)])
    until(lambda: "900" not in (deployment.folder / "audit-head").read_text())
    deployment.shell(ASK.format(ids=list(cloud.free(3))))
    until(lambda: done(deployment, 3))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_worker_requeues_what_it_has_not_begun(
    deployment: Deployment, cloud: Cloud, signum: Any
) -> None:
    cloud.fault("FreezeDevice", "latency", seconds=0.1)
    worker = busy(deployment, cloud, cloud.free(10))
    worker.send_signal(signum)
    assert worker.wait(10) == 0
    assert states(deployment) == {"done", "pending"}
    assert states(deployment, "target") == {"ok", "pending"}


def test_a_stopped_worker_leaves_hanging_calls_as_unknown(
    deployment: Deployment, cloud: Cloud
) -> None:
    deployment.env["IOTDA_DEADLINE"] = "30"
    cloud.fault("FreezeDevice", "hang", match={"nth": [4, 5]}, moment="after")
    worker = busy(deployment, cloud, cloud.free(10))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert "sent" not in states(deployment) | states(deployment, "target")
    unknown = "select count(*) from operations_chunk where state='unknown'"
    assert deployment.rows(unknown) in ([(1,)], [(2,)])


def test_a_second_signal_ends_a_worker_at_once(
    deployment: Deployment, cloud: Cloud
) -> None:
    deployment.env["IOTDA_DEADLINE"] = "30"
    cloud.fault("FreezeDevice", "hang")
    worker = busy(deployment, cloud, cloud.free(10))
    # Two of a kind at the same moment are one.
    until(lambda: worker.send_signal(signal.SIGTERM) or worker.poll())
    assert worker.returncode == -signal.SIGTERM


def test_a_stopped_worker_ends_in_time_although_the_database_is_locked(
    deployment: Deployment, cloud: Cloud
) -> None:
    cloud.fault("FreezeDevice", "latency", seconds=0.1)
    worker = busy(deployment, cloud, cloud.free(10))
    database = deployment.folder / "iotda-admin.sqlite3"
    with closing(sqlite3.connect(database, timeout=10)) as other:
        other.execute("begin immediate")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == -signal.SIGALRM
    cloud.heal()
    deployment.rows(
        "update operations_chunk set lease_until='2026-01-01' where state='sent'"
    )
    deployment.start("manage.py", "worker")
    until(lambda: done(deployment, 10))


def test_another_worker_takes_over_the_chunks_of_a_killed_one_within_two_seconds(
    deployment: Deployment, cloud: Cloud
) -> None:
    """Two workers share an operation; what is not sent yet waits for no lease."""
    cloud.fault("FreezeDevice", "latency", seconds=0.2)
    deployment.env["IOTDA_IN_FLIGHT"] = "2"
    deployment.shell(ASK.format(ids=[id for (id,) in deployment.rows(FREEZABLE)]))
    workers = [deployment.start("manage.py", "worker") for _worker in range(2)]
    until(lambda: len(cloud.journal("FreezeDevice")) >= 8)
    workers[0].kill()
    workers[0].wait(10)
    died, before = time.monotonic(), len(cloud.journal("FreezeDevice"))
    # More than the calls that were under way.
    until(lambda: len(cloud.journal("FreezeDevice")) >= before + 6)
    assert time.monotonic() - died < 2
    # All but what the killed one had claimed ahead.
    until(lambda: ok_count(deployment) >= 36)


MIGRATE = """
from django.core.management import call_command
call_command("migrate", "operations", {to!r}, verbosity=0)
"""


def test_the_table_of_the_former_job_queue_is_dropped(deployment: Deployment) -> None:
    table = "django_tasks_database_dbtaskresult"
    deployment.shell(MIGRATE.format(to="0006"))
    deployment.rows(f"create table {table} (id text)")
    deployment.rows(
        "insert into django_content_type (app_label, model)"
        " values ('django_tasks_database', 'dbtaskresult')"
    )
    deployment.rows(
        "insert into auth_permission (name, codename, content_type_id)"
        " select 'Can add', 'add_dbtaskresult', max(id) from django_content_type"
    )
    deployment.shell(MIGRATE.format(to="0007"))
    assert not deployment.rows(f"select 1 from sqlite_master where name='{table}'")
    assert not deployment.rows(
        "select 1 from auth_permission where codename='add_dbtaskresult'"
    )
