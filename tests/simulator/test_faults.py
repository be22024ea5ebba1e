import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from iotda_admin.simulator.faults.kinds import FAULT_KINDS
from tests.operations.deployment import until
from tests.simulator.conftest import Sim

BIND = {"operation": "BindDevicePolicy"}


def bound(sim: Any) -> list[Any]:
    return [one for one in sim.known.free[:2] if sim.device(one)["policy_ids"]]


def bind(sim: Any, **options: Any) -> Any:
    return sim.bind(*sim.known.free[:2], **options)


def last(sim: Any) -> Any:
    return sim.journal(operation="BindDevicePolicy")[-1]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("fault", "args", "status", "code"),
    [
        ("status", {"status": 503, "error_code": "IOTDA.9"}, 503, "IOTDA.9"),
        ("throttle", {}, 429, "APIGW.0308"),
        ("error_200", {"error_code": "IOTDA.8"}, 200, "IOTDA.8"),
        ("html", {"status": 502}, 502, None),
        ("empty", {}, 200, None),
        ("bad_json", {}, 200, None),
        ("redirect", {}, 307, None),
    ],
)
def test_a_fault_replaces_the_response(
    sim: Sim, fault: str, args: Any, status: int, code: str | None, moment: str
) -> None:
    sim.fault(fault, BIND, moment=moment, **args)
    answer = bind(sim)
    entry = last(sim)
    assert (answer.status_code, entry["status"], entry["error_code"]) == (
        status,
        status,
        code,
    )
    assert (entry["fault"], entry["answered"]) == (fault, True)
    assert (
        entry["applied"]
        == bound(sim)
        == (sim.known.free[:2] if moment == "after" else [])
    )


def test_status_sends_the_given_body_and_retry_after(sim: Sim) -> None:
    sim.fault("status", status=503, retry_after=7, body={"own": True})
    answer = sim.get("/devices")
    assert (answer.json(), answer.headers["Retry-After"]) == ({"own": True}, "7")


def test_throttle_sends_the_given_retry_after(sim: Sim) -> None:
    sim.fault("throttle", retry_after=3)
    assert sim.get("/devices").headers["Retry-After"] == "3"


def test_html_sends_a_page(sim: Sim) -> None:
    sim.fault("html")
    answer = sim.get("/devices")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_redirect_sends_the_given_location(sim: Sim) -> None:
    sim.fault("redirect", location="http://127.0.0.3/")
    assert sim.get("/devices").headers["Location"] == "http://127.0.0.3/"


@pytest.mark.parametrize(("moment", "applied"), [("before", 0), ("after", 2)])
@pytest.mark.parametrize(
    ("fault", "args"),
    [
        ("drop", {}),
        ("reset", {}),
        ("reset", {"started": True}),
        ("truncate", {}),
        ("hang", {"seconds": 0.01}),
    ],
)
def test_a_fault_breaks_the_connection(
    sim: Sim, fault: str, args: Any, moment: str, applied: int
) -> None:
    sim.fault(fault, BIND, moment=moment, **args)
    with pytest.raises(requests.RequestException) as caught:
        bind(sim)
    assert not isinstance(caught.value, requests.Timeout)
    assert len(bound(sim)) == len(last(sim)["applied"]) == applied
    assert (last(sim)["fault"], last(sim)["answered"]) == (fault, False)


def test_truncate_can_omit_the_content_length(sim: Sim) -> None:
    sim.fault("truncate", BIND, length=False)
    with pytest.raises(json.JSONDecodeError):
        json.loads(bind(sim).content)


def test_hang_lasts_until_the_client_leaves(sim: Sim) -> None:
    sim.fault("hang", BIND)
    with pytest.raises(requests.ReadTimeout):
        bind(sim, timeout=0.5)
    until(lambda: sim.journal(operation="BindDevicePolicy"))
    assert (last(sim)["answered"], bound(sim)) == (False, [])


def test_a_hanging_request_does_not_delay_others(sim: Sim) -> None:
    sim.fault("hang", BIND | {"times": 1})
    with pytest.raises(requests.ReadTimeout):
        bind(sim, timeout=0.5)
    until(lambda: sim.journal(operation="BindDevicePolicy"))
    assert bind(sim).status_code == 200


@pytest.mark.parametrize("moment", ["before", "after"])
def test_latency_delays_a_correct_response(sim: Sim, moment: str) -> None:
    sim.fault("latency", BIND, seconds=0.03, moment=moment)
    start = time.monotonic()
    assert bind(sim).json()["success_targets"] == bound(sim) != []
    assert time.monotonic() - start >= 0.03


def test_swap_exchanges_the_answers_of_two_requests(sim: Sim) -> None:
    first, second = sim.known.free[:2]
    sim.fault("swap", BIND, seconds=30)
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(sim.bind, id) for id in (first, second)]
        named = [each.result().json()["success_targets"] for each in answers]
    assert (named, bound(sim)) == ([[second], [first]], [first, second])


def test_swap_waits_for_a_second_request_only_so_long(sim: Sim) -> None:
    sim.fault("swap", BIND, seconds=0)
    assert bind(sim).json()["success_targets"] == bound(sim) != []


def test_a_delayed_request_is_applied_after_the_client_has_left(sim: Sim) -> None:
    sim.fault("latency", BIND, seconds=2)
    with pytest.raises(requests.ReadTimeout):
        bind(sim, timeout=0.2)
    assert bound(sim) == []
    until(lambda: last(sim)["status"] is not None)
    assert (len(bound(sim)), last(sim)["answered"]) == (2, False)


@pytest.mark.parametrize("fault", ["drip_body", "drip_headers"])
def test_drip_sends_the_whole_response(sim: Sim, fault: str) -> None:
    sim.fault(fault, BIND, seconds=0, moment="after")
    assert bind(sim).json()["success_targets"] == sim.known.free[:2]


def test_huge_sends_so_many_bytes(sim: Sim) -> None:
    sim.fault("huge", bytes=300_000)
    assert len(sim.get("/devices").content) == 300_000


def test_gzip_bomb_is_small_on_the_wire(sim: Sim) -> None:
    sim.fault("gzip_bomb", bytes=3_000_000)
    answer = sim.get("/devices")
    assert len(answer.content) == 3_000_000
    assert int(answer.headers["Content-Length"]) < 30_000


def test_deep_json_exceeds_the_recursion_limit(sim: Sim) -> None:
    sim.fault("deep_json", depth=100_000)
    with pytest.raises(RecursionError):
        json.loads(sim.get("/devices").content)


def test_dup_key_repeats_success_targets(sim: Sim) -> None:
    sim.fault("dup_key", BIND, moment="after")
    pairs = json.loads(bind(sim).content, object_pairs_hook=list)
    assert [name for name, _ in pairs].count("success_targets") == 2


@pytest.mark.parametrize(
    ("fault", "holds"),
    [
        ("missing_target", lambda ok, bad, ids: ok == ids[1:]),
        ("extra_target", lambda ok, bad, ids: len(ok) == 3),
        ("dup_target", lambda ok, bad, ids: ok == [*ids, ids[0]]),
        ("both_lists", lambda ok, bad, ids: bad[0]["target_id"] in ok),
        (
            "bad_types",
            lambda ok, bad, ids: isinstance(ok, dict) and isinstance(bad, str),
        ),
    ],
)
def test_a_fault_changes_the_body_of_an_applied_request(
    sim: Sim, fault: str, holds: Callable[..., Any]
) -> None:
    sim.fault(fault, BIND)
    answer = bind(sim).json()
    assert holds(
        answer["success_targets"], answer["failure_targets"], sim.known.free[:2]
    )
    assert len(bound(sim)) == 2


def test_wrong_policy_id_names_another_policy(sim: Sim) -> None:
    sim.fault("wrong_policy_id", BIND)
    assert bind(sim).json()["policy_id"] == "0" * 24


def test_delete_policy_deletes_the_policy_before_the_request(sim: Sim) -> None:
    sim.fault("delete_policy", BIND)
    assert bind(sim).status_code == 404


def test_list_mutates_changes_a_list_between_its_pages(sim: Sim) -> None:
    sim.fault("list_mutates", {"operation": "ListDevices"})
    pages = [sim.get("/devices?limit=1").json() for _ in range(3)]
    assert [page["page"]["count"] for page in pages] == [60] * 3
    assert len({page["devices"][0]["device_id"] for page in pages}) == 3


def test_expire_tokens_ends_every_token(sim: Sim) -> None:
    sim.fault("expire_tokens", {"times": 1})
    assert sim.get("/devices").status_code == 401
    sim.token = sim.login().headers["X-Subject-Token"]
    assert sim.get("/devices").status_code == 200


@pytest.mark.parametrize(
    ("match", "failed"),
    [
        ({}, [1, 2, 3, 4]),
        ({"nth": [1, 3]}, [1, 3]),
        ({"nth": 2}, [2]),
        ({"times": 2}, [1, 2]),
        ({"operation": ["FreezeDevice"]}, []),
        ({"policy_id": "0" * 24}, []),
        ({"ids": ["elsewhere"]}, []),
        ({"p": 0}, []),
    ],
)
def test_a_fault_acts_only_on_matching_requests(
    sim: Sim, match: Any, failed: list[Any]
) -> None:
    sim.fault("status", BIND | match)
    answers = [bind(sim).status_code for _ in range(4)]
    assert [
        number for number, status in enumerate(answers, 1) if status == 500
    ] == failed


def test_a_fault_matches_by_target(sim: Sim) -> None:
    sim.fault("status", {"ids": [sim.known.online]})
    assert sim.post(f"/devices/{sim.known.online}/freeze").status_code == 500
    assert sim.post(f"/devices/{sim.known.offline}/freeze").status_code == 204


def test_the_same_seed_gives_the_same_schedule(sim: Sim) -> None:
    def schedule() -> list[Any]:
        sim.reset()
        sim.fault("status", {"p": 0.5, "seed": 7})
        return [sim.get("/devices?limit=1").status_code for _ in range(20)]

    first = schedule()
    assert {200, 500} == set(first)
    assert schedule() == first


def test_a_fault_counts_its_requests_and_can_be_removed(sim: Sim) -> None:
    number = sim.fault("status", {"times": 1})
    sim.get("/devices"), sim.get("/devices")
    shown = sim._control("GET", "/faults")["faults"]
    assert [(fault["id"], fault["seen"], fault["fired"]) for fault in shown] == [
        (number, 2, 1)
    ]
    sim._control("DELETE", f"/faults/{number}")
    assert sim._control("GET", "/faults")["faults"] == []


def test_all_faults_can_be_removed(sim: Sim) -> None:
    sim.fault("status")
    sim._control("DELETE", "/faults")
    assert sim.get("/devices").status_code == 200


@pytest.mark.parametrize(
    "order",
    [
        {"fault": "nonsense"},
        {"fault": "drop", "match": {"typo": 1}},
        {"match": {}},
        {"fault": 1},
    ],
)
def test_an_invalid_fault_is_refused(sim: Sim, order: dict[str, Any]) -> None:
    assert sim.session.post(sim.control + "/_sim/faults", json=order).status_code == 400


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len(FAULT_KINDS) == 30
