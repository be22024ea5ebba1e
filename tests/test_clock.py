"""After the clock of a machine was set back, nothing waits until it has caught up."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from devices.models import Device
from iotda_admin.access.actor import Actor
from iotda_admin.accounts import sessions
from iotda_admin.accounts.models import LoginTries
from iotda_admin.health import workers
from iotda_admin.health.models import Worker
from iotda_admin.inventory import sync
from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations.execution.reconciliation import recover_stalled
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import create, run_workers, target_states

# What was written before the clock was set back is that much in the future.
JUMP = timedelta(hours=2)


@pytest.fixture
def waiting(inventory: Cloud, actor: Actor) -> Operation:
    return create("device.freeze", inventory.free(2), actor)


def test_what_waited_is_sent_soon(waiting: Operation) -> None:
    later = timezone.now() + JUMP
    Chunk.objects.update(due_at=later)
    Operation.objects.update(waits_until=later)
    recover_stalled()
    run_workers()
    assert set(target_states(waiting).values()) == {"ok"}


def test_what_iotda_asks_to_wait_is_waited(waiting: Operation) -> None:
    later = timezone.now() + timedelta(hours=1)
    Chunk.objects.update(due_at=later)
    Operation.objects.update(waits_until=later)
    recover_stalled()
    assert set(Chunk.objects.values_list("due_at", flat=True)) == {later}
    assert Operation.objects.get().waits_until == later


def test_a_lease_of_a_dead_process_ends(waiting: Operation, settings: Settings) -> None:
    Chunk.objects.update(state=Chunk.State.SENT, lease_until=timezone.now() + JUMP)
    recover_stalled()
    longest = timedelta(seconds=20 * settings.IOTDA_DEADLINE + 10)
    ends = set(Chunk.objects.values_list("lease_until", flat=True))
    assert max(ends) < timezone.now() + longest


def wrong(client: Client) -> Any:
    return client.post("/accounts/login/", {"username": "viewer", "password": "wrong"})


def test_a_sign_in_lock_lasts_no_longer(anonymous: Client, settings: Settings) -> None:
    make_user("viewer")
    for _ in range(6):
        wrong(anonymous)
    LoginTries.objects.update(since=timezone.now() + timedelta(hours=24))
    assert 0 < int(wrong(anonymous)["Retry-After"]) <= settings.LOGIN_MINUTES * 60
    # And it does end.
    past = timezone.now() - timedelta(minutes=settings.LOGIN_MINUTES)
    assert set(LoginTries.objects.values_list("since", flat=True)) != {past}
    LoginTries.objects.update(since=past)
    assert wrong(anonymous).status_code == 200


def test_a_lock_does_not_begin_again_with_each_attempt(anonymous: Client) -> None:
    make_user("viewer")
    for _ in range(6):
        wrong(anonymous)
    LoginTries.objects.update(since=timezone.now() + JUMP)
    wrong(anonymous)
    first = list(LoginTries.objects.values_list("since", flat=True))
    wrong(anonymous)
    assert list(LoginTries.objects.values_list("since", flat=True)) == first


def test_a_session_ends_without_an_action(viewer: Client, settings: Settings) -> None:
    session = viewer.session
    session[sessions.SEEN] = session[sessions.SIGNED_IN] = int(time.time()) + 7200
    session.save()
    assert viewer.get("/").status_code == 200
    seen = viewer.session[sessions.SEEN]
    assert seen <= time.time()
    assert viewer.session[sessions.SIGNED_IN] <= time.time()


def test_a_dead_worker_does_not_count(db: None) -> None:
    workers.record_heartbeat()
    Worker.objects.update(seen_at=timezone.now() + JUMP)
    assert not workers.live_workers().exists()
    workers.record_heartbeat()
    assert workers.live_workers().exists()


def test_the_inventory_is_synced(inventory: Cloud) -> None:
    SyncRun.objects.create(state="succeeded", finished_at=timezone.now() + JUMP)
    assert sync.seconds_until_sync() == 0
    dead = SyncRun.objects.create(state="running", alive_at=timezone.now() + JUMP)
    sync.fail_silent_runs()
    dead.refresh_from_db()
    assert dead.state == "failed"


def test_a_sync_replaces_what_was_read_before(inventory: Cloud) -> None:
    id = inventory.known_ids["online"]
    Device.objects.update(read_at=timezone.now() + JUMP, name="old")
    assert sync.run_sync(SyncRun.objects.create(), connection.client())
    assert Device.objects.get(pk=id).name != "old"
