import time
from typing import Any

import pytest

from tests.operations.deployment import until
from tests.simulator.conftest import Sim

LATER = "20991231T235959Z"


@pytest.fixture
def sim(sim: Sim) -> Sim:
    sim.patch(task_delay_s=0, task_speed=1e6)
    return sim


def create(sim: Any, *targets: Any, **changes: Any) -> Any:
    body = {
        "task_name": "recall_召回",
        "task_type": "freezeDevices",
        "targets": list(targets),
    }
    return sim.post("/batchtasks", body | changes)


def finished(sim: Any, *targets: Any, **changes: Any) -> Any:
    task_id = create(sim, *targets, **changes).json()["task_id"]

    def ended() -> Any:
        answer = sim.get(f"/batchtasks/{task_id}?limit=50").json()
        return (
            answer["batchtask"]["status"] in {"Success", "Fail", "PartialSuccess"}
            and answer
        )

    return until(ended)


def test_a_task_freezes_every_device(sim: Sim) -> None:
    answer = finished(sim, *sim.known.free)
    assert answer["batchtask"]["status"] == "Success"
    assert {sim.status(one) for one in sim.known.free} == {"FROZEN"}


def test_a_task_unfreezes_devices(sim: Sim) -> None:
    finished(sim, sim.known.frozen, task_type="unfreezeDevices")
    assert sim.status(sim.known.frozen) == "OFFLINE"


def test_the_details_show_the_error_of_each_device(sim: Sim) -> None:
    answer = finished(
        sim, sim.known.online, sim.known.child, sim.known.frozen, "unknown"
    )
    assert answer["batchtask"]["status"] == "PartialSuccess"
    rows = {
        row["target"]: row.get("error", {}).get("error_code")
        for row in answer["task_details"]
    }
    assert rows == {
        sim.known.online: None,
        sim.known.child: "IOTDA.014038",
        sim.known.frozen: "IOTDA.014039",
        "unknown": "IOTDA.014000",
    }


def test_a_task_fails_if_every_device_fails(sim: Sim) -> None:
    assert finished(sim, "unknown")["batchtask"]["status"] == "Fail"


def test_a_task_runs_at_the_speed_set(sim: Sim) -> None:
    sim.patch(task_speed=0.001)
    task_id = create(sim, *sim.known.free).json()["task_id"]
    task = sim.get(f"/batchtasks/{task_id}").json()["batchtask"]
    progress = task["task_progress"]
    assert task["status"] == "Processing"
    assert (progress["total"], progress["processing"], progress["waitting"]) == (
        10,
        1,
        9,
    )


def test_a_task_is_processing_until_its_last_device_is_done(sim: Sim) -> None:
    sim.patch(task_speed=0.001)
    task_id = create(sim, sim.known.online).json()["task_id"]
    assert (
        sim.get(f"/batchtasks/{task_id}").json()["batchtask"]["status"] == "Processing"
    )


@pytest.mark.parametrize(("delay", "status"), [(1000, "Initializing"), (0, "Waitting")])
def test_a_task_starts_after_a_delay(sim: Sim, delay: int, status: str) -> None:
    sim.patch(task_delay_s=delay)
    tomorrow = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + 86_400))
    policy = {} if delay else {"task_policy": {"schedule_time": tomorrow}}
    task_id = create(sim, sim.known.online, **policy).json()["task_id"]
    assert sim.get(f"/batchtasks/{task_id}").json()["batchtask"]["status"] == status
    assert sim.status(sim.known.online) == "ONLINE"


def test_the_progress_adds_up_to_the_total(sim: Sim) -> None:
    sim.patch(task_speed=2000)
    task_id = create(sim, *(f"unknown{n}" for n in range(100))).json()["task_id"]
    for _ in range(20):
        task = sim.get(f"/batchtasks/{task_id}").json()["batchtask"]
        progress = task["task_progress"]
        assert progress.pop("total") == sum(progress.values()) == 100


def test_details_are_paged_and_filtered_by_target_and_status(sim: Sim) -> None:
    task_id = finished(sim, *sim.known.free, "unknown")["batchtask"]["task_id"]
    failed = sim.get(f"/batchtasks/{task_id}?task_detail_status=Fail").json()
    assert [row["target"] for row in failed["task_details"]] == ["unknown"]
    one = sim.get(f"/batchtasks/{task_id}?target={sim.known.free[3]}").json()
    assert [row["target"] for row in one["task_details"]] == [sim.known.free[3]]
    first = sim.get(f"/batchtasks/{task_id}?limit=6").json()
    rest = sim.get(
        f"/batchtasks/{task_id}?limit=6&marker={first['page']['marker']}"
    ).json()
    rows = first["task_details"] + rest["task_details"]
    assert {row["target"] for row in rows} == {*sim.known.free, "unknown"}


def test_tasks_are_listed_by_type(sim: Sim) -> None:
    finished(sim, sim.known.online)
    rows = sim.get("/batchtasks?task_type=freezeDevices&status=Success").json()[
        "batchtasks"
    ]
    assert [row["task_name"] for row in rows] == ["recall_召回"]
    assert sim.get("/batchtasks?task_type=unfreezeDevices").json()["batchtasks"] == []


def test_a_list_of_tasks_needs_a_type(sim: Sim) -> None:
    assert sim.get("/batchtasks").json()["error_code"] == "IOTDA.000006"


def test_only_a_finished_task_can_be_deleted(sim: Sim) -> None:
    sim.patch(task_speed=0.001)
    task_id = create(sim, sim.known.online, sim.known.offline).json()["task_id"]
    assert sim.call("DELETE", f"/batchtasks/{task_id}").status_code == 403
    sim.patch(task_speed=1e9)
    assert sim.call("DELETE", f"/batchtasks/{task_id}").status_code == 204
    assert sim.get(f"/batchtasks/{task_id}").status_code == 404


@pytest.mark.parametrize("act", ["retry", "stop"])
def test_a_freeze_task_cannot_be_retried_or_stopped(sim: Sim, act: str) -> None:
    task_id = finished(sim, "unknown")["batchtask"]["task_id"]
    assert sim.post(f"/batchtasks/{task_id}/{act}", {}).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"task_name": "with-hyphen"},
        {"task_name": "with space"},
        {"task_name": "x" * 129},
        {"task_type": "paintDevices"},
        {"targets": []},
        {"targets": "x"},
        {"task_policy": {"retry_count": 0, "retry_interval": 1}},
        {"task_policy": {"retry_count": 6, "retry_interval": 1}},
        {"task_policy": {"retry_count": 1}},
        {"task_policy": {"schedule_time": LATER}},
        {"task_policy": {"schedule_time": "soon"}},
    ],
)
def test_an_invalid_task_is_refused(sim: Sim, changes: dict[str, Any]) -> None:
    assert create(sim, "x", **changes).status_code == 400


def test_a_task_has_at_most_30000_targets(sim: Sim) -> None:
    assert create(sim, *(f"n{n}" for n in range(30_000))).status_code == 201
    assert (
        create(sim, *(f"n{n}" for n in range(30_001))).json()["error_code"]
        == "IOTDA.000006"
    )


def test_a_space_has_at_most_ten_running_tasks(sim: Sim) -> None:
    sim.patch(task_delay_s=1000)
    answers = [create(sim, "x", app_id=sim.known.space).status_code for _ in range(11)]
    assert answers == [201] * 10 + [403]
    assert create(sim, "x", app_id=sim.known.other_space).status_code == 201


def test_a_setting_selects_when_the_targets_are_repeated(sim: Sim) -> None:
    created = create(sim, sim.known.online).json()
    assert created["targets"] == [sim.known.online]
    assert (
        "targets"
        not in sim.get(f"/batchtasks/{created['task_id']}").json()["batchtask"]
    )
    sim.patch(echo_targets="always")
    task_id = create(sim, sim.known.offline).json()["task_id"]
    assert sim.get(f"/batchtasks/{task_id}").json()["batchtask"]["targets"] == [
        sim.known.offline
    ]


def test_a_task_for_an_unknown_group_is_created_and_fails_later(sim: Sim) -> None:
    by_group = {"targets": None, "targets_filter": {"group_ids": ["none"]}}
    sim.patch(task_delay_s=1000)
    created = create(sim, **by_group).json()
    assert (created["status"], created["status_desc"]) == ("Initializing", "")
    sim.patch(task_delay_s=0)
    answer = finished(sim, **by_group)
    assert (answer["batchtask"]["status"], answer["task_details"]) == ("Fail", [])
    assert answer["batchtask"]["status_desc"]


def test_the_journal_records_what_a_task_changed(sim: Sim) -> None:
    finished(sim, sim.known.online, sim.known.frozen)
    done = sim.journal(operation="freezeDevices")
    assert [one for entry in done for one in entry["applied"]] == [sim.known.online]
    assert (
        done[0]["request_id"]
        == sim.journal(operation="CreateBatchTask")[0]["request_id"]
    )
