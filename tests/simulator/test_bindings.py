from typing import Any

import pytest

from tests.simulator.conftest import Sim


def codes(answer: Any) -> dict[Any, Any]:
    return {
        row["target_id"]: row["error_code"] for row in answer.json()["failure_targets"]
    }


def policies_on(sim: Any, device_id: Any) -> Any:
    return sim.device(device_id)["policy_ids"]


def test_devices_are_bound_and_unbound(sim: Sim) -> None:
    one, two = sim.known.free[:2]
    answer = sim.bind(one, two).json()
    assert (answer["success_targets"], answer["failure_targets"]) == ([one, two], [])
    assert policies_on(sim, one) == [sim.known.policy]
    sim.bind(one, two, act="unbind")
    assert policies_on(sim, one) == []
    listed = sim.post(
        f"/device-policies/{sim.known.policy}/list-targets", {"target_type": "device"}
    ).json()
    assert listed["page"]["count"] == 3


@pytest.mark.parametrize(("kind", "which"), [("product", "product"), ("app", "space")])
def test_products_and_spaces_can_be_bound(sim: Sim, kind: str, which: str) -> None:
    target = getattr(sim.known, which)
    assert sim.bind(target, target_type=kind).json()["success_targets"] == [target]
    rows = sim.post(
        f"/device-policies/{sim.known.policy}/list-targets", {"target_type": kind}
    ).json()
    assert rows["targets"] == [{"target_type": kind, "target_id": target}]


def test_a_bind_answers_200_with_the_failed_targets(sim: Sim) -> None:
    answer = sim.bind(sim.known.free[0], sim.known.full)
    assert (answer.status_code, codes(answer)) == (
        200,
        {sim.known.full: "IOTDA.015204"},
    )
    (failure,) = answer.json()["failure_targets"]
    assert failure["error_msg"] == (
        "Operation not allowed. The number of policies bound to the target reaches the "
        "upper limit (5)."
    )
    assert answer.json()["success_targets"] == [sim.known.free[0]]


def test_a_bind_answers_200_if_every_target_fails(sim: Sim) -> None:
    assert sim.bind(sim.known.full, "unknown").status_code == 200


def test_a_target_has_at_most_five_policies(sim: Sim) -> None:
    assert len(policies_on(sim, sim.known.full)) == 5
    sim.bind(sim.known.full)
    assert sim.known.policy not in policies_on(sim, sim.known.full)


def test_21_ids_are_refused_and_nothing_is_bound(sim: Sim) -> None:
    answer = sim.bind(*sim.known.free, *(f"unknown{n}" for n in range(11)))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "IOTDA.000006")
    assert policies_on(sim, sim.known.free[0]) == []


def test_20_ids_are_accepted(sim: Sim) -> None:
    assert sim.bind(*(f"unknown{n}" for n in range(20))).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"target_type": "device", "target_ids": []}, "IOTDA.000006"),
        ({"target_type": "device"}, "IOTDA.000006"),
        ({"target_type": "group", "target_ids": ["x"]}, "IOTDA.000006"),
        ({"target_ids": ["x"]}, "IOTDA.000006"),
        ({"target_type": "device", "target_ids": "x"}, "IOTDA.000006"),
        ({"target_type": "device", "target_ids": [7]}, "IOTDA.000006"),
        (["x"], "IOTDA.000006"),
        (None, "IOTDA.000008"),
    ],
)
def test_an_invalid_body_is_refused(sim: Sim, body: Any, code: str) -> None:
    answer = sim.post(f"/device-policies/{sim.known.policy}/bind", body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)


def test_a_body_that_is_not_json_is_refused(sim: Sim) -> None:
    url = f"{sim.api}{sim.root}/device-policies/{sim.known.policy}/bind"
    answer = sim.session.post(
        url, data=b'{"target', headers={"X-Auth-Token": sim.token}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (400, "IOTDA.000008")


def test_a_repeated_id_counts_once(sim: Sim) -> None:
    one = sim.known.free[0]
    assert sim.bind(one, one).json()["success_targets"] == [one]


def test_binding_a_bound_target_succeeds(sim: Sim) -> None:
    one = sim.known.free[0]
    sim.bind(one)
    assert sim.bind(one).json()["success_targets"] == [one]
    assert sim.journal(operation="BindDevicePolicy")[-1]["applied"] == []


def test_a_setting_makes_binding_a_bound_target_fail(sim: Sim) -> None:
    sim.patch(already_bound="failure", already_bound_code="IOTDA.1")
    sim.bind(sim.known.free[0])
    assert codes(sim.bind(sim.known.free[0])) == {sim.known.free[0]: "IOTDA.1"}


def test_unbinding_an_unbound_target_succeeds(sim: Sim) -> None:
    assert codes(sim.bind(sim.known.free[0], act="unbind")) == {}


def test_a_setting_makes_unbinding_an_unbound_target_fail(sim: Sim) -> None:
    sim.patch(not_bound="failure", not_bound_code="IOTDA.2")
    assert codes(sim.bind(sim.known.free[0], act="unbind")) == {
        sim.known.free[0]: "IOTDA.2"
    }


def test_a_setting_selects_the_code_of_an_unknown_target(sim: Sim) -> None:
    assert codes(sim.bind("unknown")) == {"unknown": "IOTDA.014000"}
    sim.patch(unknown_target_code="IOTDA.3")
    assert codes(sim.bind("unknown", act="unbind")) == {"unknown": "IOTDA.3"}


def test_a_setting_keeps_a_policy_to_its_space(sim: Sim) -> None:
    other = next(
        ids[0]
        for app, ids in sim.known.free_by_space.items()
        if ids and app != sim.known.space
    )
    assert codes(sim.bind(other)) == {}
    sim.patch(cross_space="failure")
    assert list(codes(sim.bind(other))) == [other]


def test_an_unknown_policy_is_not_found(sim: Sim) -> None:
    assert sim.bind("x", policy="0" * 24).status_code == 404


def test_list_targets_needs_a_body(sim: Sim) -> None:
    answer = sim.post(f"/device-policies/{sim.known.policy}/list-targets")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "IOTDA.000008")


def test_list_targets_without_a_type_returns_every_type(sim: Sim) -> None:
    sim.bind(sim.known.product, target_type="product")
    path = f"/device-policies/{sim.known.policy}/list-targets"
    answer = sim.post(path, {}).json()
    assert answer["page"]["count"] == 4
    assert answer["targets"][0] == {
        "target_type": "product",
        "target_id": sim.known.product,
    }
