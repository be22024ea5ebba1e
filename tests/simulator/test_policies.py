from typing import Any

import pytest

from tests.simulator.conftest import Sim

STATEMENT = [
    {
        "effect": "ALLOW",
        "actions": ["iotda:devices:publish"],
        "resources": ["topic:/v1/a"],
    }
]


def create(sim: Any, **changes: Any) -> Any:
    return sim.post(
        "/device-policies", {"policy_name": "mine", "statement": STATEMENT} | changes
    )


def test_a_policy_is_created_in_the_default_space(sim: Sim) -> None:
    answer = create(sim)
    policy = answer.json()
    assert (answer.status_code, policy["app_id"], policy["statement"]) == (
        201,
        sim.known.space,
        STATEMENT,
    )
    assert sim.get(f"/device-policies/{policy['policy_id']}").json() == policy


@pytest.mark.parametrize(
    "changes",
    [
        {"policy_name": "not good"},
        {"policy_name": "x" * 129},
        {"statement": []},
        {"statement": STATEMENT * 11},
        {"statement": [STATEMENT[0] | {"effect": "MAYBE"}]},
        {"statement": [STATEMENT[0] | {"actions": ["iotda:devices:delete"]}]},
        {"statement": [STATEMENT[0] | {"resources": ["topic:ä"]}]},
        {"statement": [STATEMENT[0] | {"resources": ["topic:/a"] * 11}]},
        {"statement": [STATEMENT[0] | {"resources": ["topic:" + "a" * 11_000]}]},
        {"statement": None},
    ],
)
def test_an_invalid_policy_is_refused(sim: Sim, changes: dict[str, Any]) -> None:
    answer = create(sim, **changes)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "IOTDA.000006")


def test_unknown_keys_are_ignored(sim: Sim) -> None:
    assert create(sim, colour="red").status_code == 201


def test_a_name_is_unique_in_its_space(sim: Sim) -> None:
    create(sim)
    assert create(sim).json()["error_code"] == "IOTDA.015202"
    assert create(sim, app_id=sim.known.other_space).status_code == 201


def test_the_number_of_policies_is_limited(sim: Sim) -> None:
    sim.patch(policies=13)
    assert create(sim).status_code == 403


def test_a_list_of_policies_has_no_statements(sim: Sim) -> None:
    page = sim.get("/device-policies?limit=50").json()
    assert page["page"]["count"] == len(page["policies"]) == 13
    assert "statement" not in page["policies"][0]
    named = sim.get("/device-policies?policy_name=system_default_policy").json()
    assert named["page"]["count"] == 4


def test_an_update_changes_only_the_given_fields(sim: Sim) -> None:
    policy = sim.call(
        "PUT", f"/device-policies/{sim.known.policy}", {"policy_name": "renamed"}
    ).json()
    assert policy["policy_name"] == "renamed"
    assert policy["statement"][0]["effect"] == "DENY"


def test_deleting_a_policy_unbinds_its_targets(sim: Sim) -> None:
    answer = sim.call("DELETE", f"/device-policies/{sim.known.policy}")
    assert answer.status_code == 204
    assert (
        sim._control("GET", "/bindings", query={"policy_id": sim.known.policy})[
            "bindings"
        ]
        == []
    )


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_policy_is_not_found(sim: Sim, method: str) -> None:
    sim.patch(unknown_policy_code="IOTDA.777")
    answer = sim.call(method, "/device-policies/" + "0" * 24, {})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "IOTDA.777")


def test_ids_in_other_case_are_other_ids(sim: Sim) -> None:
    assert sim.known.policy != sim.known.policy.upper()
    assert sim.get(f"/device-policies/{sim.known.policy.upper()}").status_code == 404


def test_a_marker_may_have_upper_case_digits(sim: Sim) -> None:
    first = sim.get("/device-policies?limit=3").json()
    marker = first["page"]["marker"]
    assert marker != marker.upper()
    pages = [
        sim.get(f"/device-policies?limit=3&marker={one}").json()
        for one in (marker, marker.upper())
    ]
    assert pages[0] == pages[1] != first
