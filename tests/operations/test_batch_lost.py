"""A batch task that was refused, or whose creation nobody answered: never two for the same devices."""

from datetime import timedelta

import pytest
from django.utils import timezone

from devices.models import Device
from iotda_admin.operations.execution import reconciliation
from iotda_admin.operations.execution.leases import lease_chunk
from iotda_admin.operations.execution.result_writer import ChunkResult, write_results
from iotda_admin.operations.models import Chunk
from iotda_admin.operations.verbs import task_name
from iotda_admin.rate import connection
from tests.asking import codes, outcome, time_passes, work
from tests.batching import created, finish, follow, tell


def test_more_than_ten_tasks_wait_here(begin, devices, platform, settings):
    settings.BATCH_TASK_ABOVE = 0
    platform.switch(task_delay_s=1000)
    for n in range(12):
        begin("device.freeze", f"nobody-{n}")
    work()
    assert len(created(platform)) == 10
    assert Chunk.objects.filter(state="pending").count() == 2


def test_where_the_platform_has_no_room_it_waits(do, devices, platform):
    platform.switch(running_tasks=1, task_delay_s=1000)
    connection.client().create_batch_task("somebody_else", "freezeDevices", ["x"])
    operation = do("device.freeze", *devices)
    for _try in range(5):
        work()
        time_passes()
    assert (outcome(operation), operation.state) == ({"pending": 8}, "running")
    # None of these counts as a try.
    assert operation.chunks.get().attempts == 0
    platform.switch(running_tasks=10, task_delay_s=0)
    assert finish(operation) == {"ok": 8}


def test_a_single_bad_id_does_not_spoil_the_others(do, devices, platform):
    platform.fault(
        "CreateBatchTask",
        "status",
        match={"times": 1},
        status=400,
        error_code="IOTDA.000006",
    )
    operation = do("device.freeze", *devices, "nobody")
    assert finish(operation) == {"failed": 1, "ok": 8}


def test_what_then_goes_singly_is_told_by_what_was_read(do, devices, platform):
    Device.objects.filter(pk=devices[0]).update(status="FROZEN")
    platform.fault(
        "CreateBatchTask",
        "status",
        match={"times": 1},
        status=400,
        error_code="IOTDA.000006",
    )
    assert finish(do("device.freeze", *devices)) == {"ok": 8}


def test_a_refusal_for_lack_of_rights_stops_it(do, devices, platform):
    platform.fault("CreateBatchTask", "status", status=403, error_code="IOTDA.000022")
    operation = do("device.freeze", *devices)
    assert finish(operation) == {"failed": 8}
    assert (operation.state, len(created(platform))) == ("stopped", 1)


@pytest.mark.parametrize("fault", ["drop", "hang", "html", "bad_json", "error_200"])
def test_a_task_whose_creation_was_not_answered_is_found(
    do, devices, platform, settings, fault
):
    def wait_for(seconds):
        settings.IOTDA_DEADLINE = seconds
        connection.client.cache_clear()

    if fault == "hang":
        wait_for(1)
    platform.fault("CreateBatchTask", fault, moment="after", match={"times": 1})
    operation = do("device.freeze", *devices)
    work()
    assert outcome(operation) == {"unknown": 8}
    wait_for(10)
    follow()
    assert outcome(operation) == {"ok": 8}
    assert len(created(platform)) == 1


def test_a_task_that_was_never_made_is_not_made_blindly(do, devices, platform):
    platform.fault("CreateBatchTask", "drop", match={"times": 1})
    operation = do("device.freeze", *devices)
    work()
    follow()
    assert outcome(operation) == {"unknown": 8}
    assert finish(operation) == {"failed": 8}
    assert set(codes(operation).values()) == {"not_applied"}
    assert len(created(platform)) == 1


def test_a_namesake_of_another_database_is_not_taken_for_ours(do, devices, platform):
    operation = do("device.freeze", *devices)
    operation.created_at -= timedelta(days=1)
    connection.client().create_batch_task(
        task_name(operation, 1), "freezeDevices", devices
    )
    platform.fault("CreateBatchTask", "drop", match={"times": 1})
    assert finish(operation) == {"failed": 8}


@pytest.fixture
def killed(begin, devices):
    """An operation whose sender was killed, before or after the platform has made the task."""

    def killed(*, after):
        operation = begin("device.freeze", *devices)
        sending = lease_chunk(operation.chunks.get())
        if after:
            sending.verb.send(connection.client(), sending.request)
        Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        reconciliation.expire_leases()
        return operation

    return killed


@pytest.mark.parametrize("after", [True, False])
def test_what_a_killed_sender_left_is_done_once(killed, devices, platform, after):
    operation = killed(after=after)
    assert outcome(operation) == {"unknown": 8}
    assert finish(operation) == {"ok": 8}
    assert len(created(platform)) == 1
    assert [sorted(e["applied"]) for e in platform.journal("freezeDevices")] == [
        sorted(devices)
    ]


def test_the_late_word_of_a_replaced_sender_is_void(begin, devices, platform):
    operation = begin("device.freeze", *devices)
    sending = lease_chunk(operation.chunks.get())
    answer = sending.verb.send(connection.client(), sending.request)
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    write_results([ChunkResult(sending, answer)])
    assert outcome(operation) == {"unknown": 8}
    assert finish(operation) == {"ok": 8}


def test_a_task_found_again_leaves_to_others_what_they_have_begun(
    killed, begin, devices, platform
):
    operation = killed(after=True)
    later = begin("device.unfreeze", devices[0])
    follow()
    assert outcome(operation) == {"ok": 8}
    assert finish(later) == {"ok": 1}
    assert platform.status(devices[0]) != "FROZEN"


def test_who_does_not_want_to_wait_can_have_it_looked_for(
    begin, actor, client, devices, platform
):
    platform.fault("CreateBatchTask", "drop", moment="after", match={"times": 1})
    operation = begin("device.freeze", *devices)
    work()
    time_passes()
    client.force_login(actor.user)
    client.post(f"/operations/{operation.pk}/check/")
    assert operation.chunks.get().state == "followed"


def test_what_a_task_found_again_may_still_change_is_not_sent_again(
    killed, begin, actor, client, devices, platform
):
    client.force_login(actor.user)
    platform.switch(task_delay_s=1000)
    first, later = killed(after=True), begin("device.freeze", devices[0])
    lease_chunk(later.chunks.get())
    later.chunks.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    follow()
    for _look in range(3):
        time_passes()
        assert client.post(f"/operations/{later.pk}/check/").status_code == 302
    assert (outcome(first), outcome(later)) == ({"sent": 8}, {"unknown": 1})
    tell(platform, first, [(id, "Success", "") for id in devices])
    assert (finish(first), finish(later)) == ({"ok": 8}, {"ok": 1})
