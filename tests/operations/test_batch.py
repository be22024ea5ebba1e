"""Above a threshold the platform's batch task does it; each device has its own outcome all the same."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection as database
from django.utils import timezone

from devices.models import Device
from iotda_admin import connection
from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations import batchtasks, recovery
from iotda_admin.operations.claims import claim
from iotda_admin.operations.ending import cancel, hold
from iotda_admin.operations.models import Chunk
from iotda_admin.operations.records import Result, record
from iotda_admin.operations.verbs import task_name
from tests.asking import codes, look, outcome, states, time_passes, work, writes

NOBODY = "IOTDA.014000"


@pytest.fixture
def platform(inventory, settings):
    """Four targets go by a task, and that takes no time."""
    settings.BATCH_TASK_ABOVE = 3
    inventory.switch(task_speed=1e6, task_delay_s=0)
    return inventory


@pytest.fixture
def devices(platform):
    return platform.free(8)


def follow():
    """Time passes until the tasks are to be looked at, and the worker looks once."""
    time_passes()
    batchtasks.follow_due()


def finish(operation):
    """The worker until nothing is left to do."""
    for _round in range(8):
        work()
        follow()
        look()
        operation.refresh_from_db()
        if operation.finished_at:
            break
    return outcome(operation)


def tell(cloud, operation, rows, **facts):
    """From here on the platform shows this of the operation's task, over the wire."""
    task = {"task_id": operation.chunks.get(by_task=True).task_id, "task_type": "freezeDevices"}
    task |= {"status": "PartialSuccess"} | facts
    details = [
        {
            "target": id,
            "status": status,
            "error": {"error_code": code, "error_msg": code and "In IoTDA's words."},
        }
        for id, status, code in rows
    ]
    body = {"batchtask": task, "task_details": details, "page": {"count": len(rows)}}
    cloud.fault("ShowBatchTask", "status", status=200, body=body)


@pytest.fixture
def finished(do, devices, platform):
    """An operation whose task has frozen all devices, and that nobody has looked at yet."""
    operation = do("device.freeze", *devices)
    work()
    assert {platform.status(id) for id in devices} == {"FROZEN"}
    return operation


def created(cloud):
    return cloud.journal("CreateBatchTask")


# --- Which path ---------------------------------------------------------------------------------


def test_up_to_the_threshold_each_device_is_asked_for_by_itself(do, platform):
    operation = do("device.freeze", *platform.free(3))
    work()
    assert outcome(operation) == {"ok": 3}
    assert not created(platform)


def test_above_it_one_task_does_it(do, devices, platform):
    operation = do("device.freeze", *devices)
    work()
    assert outcome(operation) == {"sent": 8}
    assert [entry["operation"] for entry in writes(platform)] == ["CreateBatchTask"]
    follow()
    assert outcome(operation) == {"ok": 8}
    assert {platform.status(id) for id in devices} == {"FROZEN"}


def test_nothing_is_sent_in_the_request_that_asks(do, devices, platform):
    do("device.freeze", *devices)
    assert not writes(platform)


def test_a_task_takes_so_many_and_no_more(do, devices, platform, monkeypatch):
    monkeypatch.setattr("iotda_admin.operations.door.BATCH_TARGET_LIMIT", 5)
    operation = do("device.freeze", *devices)
    assert finish(operation) == {"ok": 8}
    assert [len(entry["target_ids"]) for entry in created(platform)] == [5, 3]


def test_a_bind_has_no_task(do, devices, platform):
    do("policy.bind", *devices)
    assert not Chunk.objects.filter(by_task=True).exists()


def test_what_was_accepted_can_be_found_at_the_platform(do, devices, platform):
    operation = do("device.freeze", *devices)
    work()
    chunk = operation.chunks.get()
    page = connection.client().list_batch_tasks("freezeDevices")
    assert [(t.task_id, t.task_name) for t in page.items] == [(chunk.task_id, task_name(operation, 1))]
    assert (chunk.http_status, bool(chunk.request_id)) == (201, True)


# --- While it lasts -----------------------------------------------------------------------------


def test_it_is_followed_until_it_has_finished(do, devices, platform):
    platform.switch(task_delay_s=1000)
    operation = do("device.freeze", *devices)
    work()
    follow()
    assert (outcome(operation), operation.finished_at) == ({"sent": 8}, None)
    assert operation.chunks.get().due_at > timezone.now()


def test_how_far_it_is_can_be_seen(finished, platform):
    progress = {"total": 8, "success": 3, "fail": 1, "processing": 4}
    tell(platform, finished, [], status="Processing", task_progress=progress)
    follow()
    assert (outcome(finished), finished.chunks.get().task_done) == ({"sent": 8}, 4)


def test_a_device_under_way_takes_no_other_change(do, devices, platform):
    platform.switch(task_delay_s=1000)
    do("device.freeze", *devices)
    work()
    with pytest.raises(Exception, match="has been changing"):
        do("device.unfreeze", devices[0])


def test_what_lasts_long_is_asked_for_less_often(do, devices, platform):
    platform.switch(task_delay_s=1000)
    operation = do("device.freeze", *devices)
    work()
    Chunk.objects.update(sent_at=timezone.now() - timedelta(seconds=300))
    follow()
    assert 25 < (operation.chunks.get().due_at - timezone.now()).total_seconds() < 31


def test_of_two_followers_one_looks(do, devices, platform):
    do("device.freeze", *devices)
    work()
    time_passes()
    pk = Chunk.objects.get().pk
    assert [batchtasks.take(pk) is None for _follower in range(2)] == [False, True]


@pytest.mark.django_db(transaction=True)
def test_two_workers_follow_a_task_once(do, devices, platform):
    operation = do("device.freeze", *devices)
    work()
    time_passes()

    def follow_once(_worker):
        batchtasks.follow_due()
        database.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(follow_once, range(2)))
    assert outcome(operation) == {"ok": 8}
    assert len(platform.journal("ShowBatchTask")) == 1


def test_a_follower_that_was_replaced_settles_nothing(do, devices, platform):
    operation = do("device.freeze", *devices)
    work()
    time_passes()
    slow = batchtasks.take(operation.chunks.get().pk)
    time_passes()
    batchtasks.take(operation.chunks.get().pk)
    with pytest.raises(batchtasks.Replaced):
        slow.look(connection.client())
    assert outcome(operation) == {"sent": 8}


def test_an_operation_that_was_cancelled_is_followed_to_the_end(do, devices, platform, monkeypatch):
    monkeypatch.setattr("iotda_admin.operations.claims.RUNNING_TASK_LIMIT", 1)
    monkeypatch.setattr("iotda_admin.operations.door.BATCH_TARGET_LIMIT", 5)
    operation = do("device.freeze", *devices)
    work()
    cancel(hold(operation.pk), "somebody")
    assert finish(operation) == {"ok": 5, "cancelled": 3}
    assert (operation.state, len(created(platform))) == ("cancelled", 1)


def test_so_does_one_whose_asker_lost_the_right(do, asker, devices, platform, monkeypatch):
    monkeypatch.setattr("iotda_admin.operations.claims.RUNNING_TASK_LIMIT", 1)
    monkeypatch.setattr("iotda_admin.operations.door.BATCH_TARGET_LIMIT", 5)
    operation = do("device.freeze", *devices)
    work()
    asker.user.groups.clear()
    assert finish(operation) == {"ok": 5, "skipped": 3}


# --- What it tells ------------------------------------------------------------------------------


def test_each_device_has_its_own_outcome(do, platform):
    known = platform.landmarks
    operation = do("device.freeze", known["online"], known["child"], known["frozen"], "nobody")
    assert finish(operation) == {"already": 1, "failed": 2, "ok": 1}
    assert codes(operation) == {
        known["online"]: "",
        known["child"]: "IOTDA.014038",
        known["frozen"]: "IOTDA.014039",
        "nobody": NOBODY,
    }


def test_what_the_inventory_knew_as_frozen_was_so_before(do, devices, platform):
    platform.switch(repeat_freeze="ok")
    frozen = platform.landmarks["frozen"]
    operation = do("device.freeze", *devices, frozen)
    assert finish(operation) == {"already": 1, "ok": 8}
    assert states(operation)[frozen] == "already"


def test_a_task_that_failed_as_a_whole_says_why(finished, platform):
    tell(platform, finished, [], status="Fail", status_desc="Out of order.")
    follow()
    assert outcome(finished) == {"failed": 8}
    assert set(finished.targets.values_list("error_code", "error_message")) == {
        ("task_failed", "Out of order.")
    }


@pytest.mark.parametrize("status", ["Stopped", "Removed"])
def test_what_was_stopped_before_its_turn_has_failed(finished, devices, platform, status):
    tell(platform, finished, [(id, "Success", "") for id in devices[1:]] + [(devices[0], status, "")])
    follow()
    assert (states(finished)[devices[0]], codes(finished)[devices[0]]) == ("failed", "task_stopped")


def test_what_failed_says_so_in_the_words_of_the_platform(finished, devices, platform):
    tell(platform, finished, [(id, "Fail", "IOTDA.999") for id in devices])
    follow()
    assert set(finished.targets.values_list("state", "error_code", "error_message")) == {
        ("failed", "IOTDA.999", "In IoTDA's words.")
    }


def test_what_still_waits_is_followed_on(finished, devices, platform):
    tell(platform, finished, [(id, "Success", "") for id in devices[1:]] + [(devices[0], "Waitting", "")])
    follow()
    assert outcome(finished) == {"ok": 7, "sent": 1}
    platform.heal()
    follow()
    assert outcome(finished) == {"ok": 8}


def test_what_waits_for_ever_is_looked_for_at_the_device(finished, devices, platform):
    tell(platform, finished, [(id, "Success", "") for id in devices[1:]] + [(devices[0], "Waitting", "")])
    assert finish(finished) == {"ok": 8}
    assert [entry["target_ids"] for entry in platform.journal("ShowDevice")] == [[devices[0]]]


def test_what_the_task_does_not_tell_of_is_read_back(finished, devices, platform):
    tell(platform, finished, [(id, "Success", "") for id in devices[2:]])
    follow()
    assert outcome(finished) == {"ok": 6, "unknown": 2}
    look()
    assert outcome(finished) == {"ok": 8}
    assert finished.finished_at


def test_a_contradiction_is_no_outcome(finished, devices, platform):
    rows = [(id, "Success", "") for id in devices]
    tell(platform, finished, [*rows, (devices[0], "Fail", "IOTDA.999")])
    follow()
    assert (states(finished)[devices[0]], outcome(finished)) == ("unknown", {"ok": 7, "unknown": 1})


def test_the_same_said_twice_and_strangers_change_nothing(finished, devices, platform):
    rows = [(id, "Success", "") for id in devices]
    tell(platform, finished, [*rows, rows[0], ("stranger", "Success", "")])
    follow()
    assert outcome(finished) == {"ok": 8}


def test_of_a_task_that_somebody_deleted_the_devices_tell(finished, platform):
    connection.client().delete_batch_task(finished.chunks.get().task_id)
    follow()
    assert outcome(finished) == {"unknown": 8}
    look()
    assert outcome(finished) == {"ok": 8}


def test_another_404_says_nothing_of_the_task(finished, platform):
    platform.fault("ShowBatchTask", "status", status=404, error_code="APIGW.0101")
    follow()
    assert outcome(finished) == {"sent": 8}


@pytest.mark.parametrize("fault", ["drop", "html", "bad_json", "throttle"])
def test_a_look_that_fails_is_made_again(finished, platform, fault):
    platform.fault("ShowBatchTask", fault, match={"times": 1})
    follow()
    assert outcome(finished) == {"sent": 8}
    follow()
    assert outcome(finished) == {"ok": 8}


def test_rows_that_cannot_be_read_are_not_asked_for_for_ever(finished, devices, platform):
    tell(platform, finished, [(id, "Success", "") for id in devices[1:]])
    platform.heal()
    body = {"batchtask": {"task_id": "a" * 24, "task_type": "freezeDevices", "status": "Success"}}
    body |= {"task_details": [], "page": {"count": 8}}
    platform.fault("ShowBatchTask", "status", status=200, body=body)
    for _look in range(3):
        assert outcome(finished) == {"sent": 8}
        follow()
    assert outcome(finished) == {"unknown": 8}


def test_a_worker_that_died_while_settling_is_taken_over(finished, devices, platform, monkeypatch):
    monkeypatch.setattr(batchtasks, "SETTLED_TOGETHER", 3)
    platform.fault("ShowBatchTask", "status", match={"nth": 99}, status=500)
    dies = iter([False, False, True])

    def beat(_following):
        if next(dies):
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(batchtasks.Following, "rows", lambda self, client, found: found.details.items)
        patch.setattr(batchtasks.Following, "beat", beat)
        with pytest.raises(SystemExit):
            follow()
    assert outcome(finished) == {"ok": 8}
    assert finished.finished_at is None
    follow()
    assert outcome(finished) == {"ok": 8}
    assert finished.finished_at


# --- The inventory ------------------------------------------------------------------------------


def test_the_list_shows_what_was_frozen(finished, devices):
    follow()
    assert set(Device.objects.filter(pk__in=devices).values_list("status", flat=True)) == {"FROZEN"}


def test_what_a_device_is_after_an_unfreeze_is_not_made_up(finished, do, devices, platform):
    follow()
    operation = do("device.unfreeze", *devices)
    assert finish(operation) == {"ok": 8}
    assert set(Device.objects.filter(pk__in=devices).values_list("status", flat=True)) == {""}
    assert SyncRun.objects.filter(state="asked").exists()


def test_a_device_that_was_not_read_yet_is_shown_so(operator, devices):
    Device.objects.filter(pk__in=devices).update(status="")
    assert b"Not read yet" in operator.get("/devices/").content
    assert b"Not read yet" in operator.get("/").content


# --- Refused, or not answered -------------------------------------------------------------------


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
    platform.switch(running_tasks=10, task_delay_s=0)
    assert finish(operation) == {"ok": 8}


def test_a_single_bad_id_does_not_spoil_the_others(do, devices, platform):
    platform.fault("CreateBatchTask", "status", match={"times": 1}, status=400, error_code="IOTDA.000006")
    operation = do("device.freeze", *devices, "nobody")
    assert finish(operation) == {"failed": 1, "ok": 8}


def test_a_refusal_for_lack_of_rights_stops_it(do, devices, platform):
    platform.fault("CreateBatchTask", "status", status=403, error_code="IOTDA.000022")
    operation = do("device.freeze", *devices)
    assert finish(operation) == {"failed": 8}
    assert (operation.state, len(created(platform))) == ("stopped", 1)


@pytest.mark.parametrize("fault", ["drop", "hang", "html", "bad_json", "error_200"])
def test_a_task_whose_creation_was_not_answered_is_found(do, devices, platform, settings, fault):
    settings.IOTDA_DEADLINE = 0.5
    connection.client.cache_clear()
    platform.fault("CreateBatchTask", fault, moment="after", match={"times": 1})
    operation = do("device.freeze", *devices)
    work()
    assert outcome(operation) == {"unknown": 8}
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
    connection.client().create_batch_task(
        f"iotda_admin_op{operation.pk}_1_20200101", "freezeDevices", devices
    )
    platform.fault("CreateBatchTask", "drop", match={"times": 1})
    assert finish(operation) == {"failed": 8}


@pytest.fixture
def killed(begin, devices):
    """An operation whose sender was killed, before or after the platform has made the task."""

    def killed(*, after):
        operation = begin("device.freeze", *devices)
        sending = claim(operation.chunks.get())
        if after:
            sending.verb.send(connection.client(), sending.request)
        Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        recovery.give_up_leases()
        return operation

    return killed


@pytest.mark.parametrize("after", [True, False])
def test_what_a_killed_sender_left_is_done_once(killed, devices, platform, after):
    operation = killed(after=after)
    assert outcome(operation) == {"unknown": 8}
    assert finish(operation) == {"ok": 8}
    assert len(created(platform)) == 1
    assert [sorted(e["applied"]) for e in platform.journal("freezeDevices")] == [sorted(devices)]


def test_the_late_word_of_a_replaced_sender_is_void(begin, devices, platform):
    operation = begin("device.freeze", *devices)
    sending = claim(operation.chunks.get())
    answer = sending.verb.send(connection.client(), sending.request)
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    recovery.give_up_leases()
    record([Result(sending, answer)])
    assert outcome(operation) == {"unknown": 8}
    assert finish(operation) == {"ok": 8}


def test_a_task_found_again_leaves_to_others_what_they_have_begun(killed, begin, devices, platform):
    operation = killed(after=True)
    later = begin("device.unfreeze", devices[0])
    follow()
    assert outcome(operation) == {"ok": 8}
    assert finish(later) == {"ok": 1}
    assert platform.status(devices[0]) != "FROZEN"


# --- What it costs ------------------------------------------------------------------------------


def test_two_thousand_devices_cost_one_call_for_fifty(do, cloud, db):
    cloud.reset(60, task_speed=1e6, task_delay_s=0)
    operation = do("device.freeze", *(f"nobody-{n}" for n in range(2000)))
    before = len(cloud.journal())
    assert finish(operation) == {"failed": 2000}
    calls = [e["operation"] for e in cloud.journal()[before:] if e["operation"] != "freezeDevices"]
    # The creation, one look that finds it finished, and a page for each fifty.
    assert len(calls) <= 1 + 1 + 2000 / 50
    assert set(calls) == {"CreateBatchTask", "ShowBatchTask"}
