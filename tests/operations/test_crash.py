"""kill -9 of the real web process between the call and its answer; SIGTERM of the real worker."""

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.cloud import Cloud
from tests.operation_helpers import write_requests
from tests.operations.deployment import Browser, Deployment, until

AFTERWARDS = """
import json
from django.utils import timezone
from iotda_admin.operations.execution import reconciliation
from iotda_admin.operations.models import Chunk, Target
from iotda_admin.operations.execution.executor import execute_due_chunks
from iotda_admin.rate.connection import client

def tell():
    target = Target.objects.get()
    print(json.dumps([target.state, target.error_code, target.chunk.state]))

tell()
reconciliation.recover_stalled()
reconciliation.reconcile_due()
tell()
Chunk.objects.update(lease_until="2026-01-01T00:00Z")
reconciliation.expire_leases()
reconciliation.reconcile_due()
tell()
Chunk.objects.update(due_at=timezone.now())
for _look in range(2):
    reconciliation.reconcile_due()
    tell()
execute_due_chunks(client())
tell()
"""

AGAIN = """
import json
from django.contrib.auth.models import User
from django.test import Client
from iotda_admin.operations.models import Operation
client = Client(SERVER_NAME="127.0.0.1")
client.force_login(User.objects.get(username="operator"))
answer = client.post({path!r}, {form!r})
print(json.dumps([answer.status_code, Operation.objects.count()]))
"""


@pytest.mark.parametrize(
    ("moment", "second_look"),
    [("after", ["ok", "", "done"]), ("before", ["pending", "", "pending"])],
)
def test_the_operation_of_a_killed_web_process_is_finished(
    deployment: Deployment, cloud: Cloud, moment: str, second_look: list[Any]
) -> None:
    cloud.fault("FreezeDevice", "hang", moment=moment)
    path = f"/devices/{cloud.known_ids['online']}/freeze/"
    browser = Browser(deployment.start_web(), "operator")
    form = browser.form(path) | {"reason": "crash"}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(browser.send, path, form)
        until(lambda: cloud.journal("FreezeDevice"))
        deployment.kill()
        with pytest.raises(requests.ConnectionError):
            answer.result()
    assert deployment.rows("select state from operations_target") == [("sent",)]
    cloud.heal()
    # Sent; not touched while its lease runs; unknown; after the first look and the second; after the worker.
    sent, still, unknown, first, second, end = deployment.shell(AFTERWARDS)
    assert (sent, still, unknown) == (["sent", "", "sent"],) * 2 + (
        ["unknown", "", "unknown"],
    )
    assert second == second_look
    assert first == (second if moment == "after" else unknown)
    # What did not get there was sent by the worker, once.
    assert end == ["ok", "", "done"]
    # The same form, sent once more by a patient browser, is the same operation.
    assert deployment.shell(AGAIN.format(path=path, form=form)) == [[302, 1]]
    assert [len(entry["applied"]) for entry in write_requests(cloud)] == (
        [1] if moment == "after" else [0, 1]
    )


ASK = """
from django.contrib.auth.models import User
from iotda_admin.rate.connection import client
from iotda_admin.access.actor import Actor
from iotda_admin.operations.services import dispatch
from tests.operation_helpers import create
actor = Actor(User.objects.get(username="operator"), "operator", "test")
dispatch(create("device.freeze", {ids!r}, actor), client())
"""


def test_a_stopped_worker_leaves_no_chunk_half_done(
    deployment: Deployment, cloud: Cloud
) -> None:
    deployment.shell(ASK.format(ids=list(cloud.free(10))))
    cloud.fault("FreezeDevice", "latency", seconds=0.05)
    worker = deployment.start("manage.py", "worker")
    until(lambda: cloud.journal("FreezeDevice"))
    worker.send_signal(signal.SIGTERM)
    # Later than ten seconds a signal would have ended it, and its status were another.
    assert worker.wait(30) == 0
    states = {
        state for (state,) in deployment.rows("select state from operations_chunk")
    }
    assert states <= {"done", "pending"}
    assert "done" in states


def test_a_worker_takes_over_the_chunks_of_a_killed_one(
    deployment: Deployment, cloud: Cloud
) -> None:
    deployment.shell(ASK.format(ids=list(cloud.free(3))))
    cloud.fault("FreezeDevice", "hang", match={"nth": 2}, moment="after")
    deployment.start("manage.py", "worker")
    until(lambda: len(cloud.journal("FreezeDevice")) == 3)
    deployment.kill()
    cloud.heal()
    expire = "update operations_chunk set lease_until='2026-01-01' where state='sent'"
    deployment.rows(expire)
    # It is read back that much later.
    deployment.env["IOTDA_DEADLINE"] = "0.5"
    deployment.start("manage.py", "worker")
    done = "select count(*) from operations_target where state='ok'"
    until(lambda: deployment.rows(done) == [(3,)])
    assert len(write_requests(cloud)) == 3
