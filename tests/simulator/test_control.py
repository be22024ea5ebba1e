from typing import Any

import pytest

from tests.simulator.conftest import Sim


def test_a_reset_undoes_every_change(sim: Sim) -> None:
    sim.bind(sim.known.free[0])
    sim.patch(bind_limit=1)
    sim.fault("drop")
    sim.reset()
    assert sim.device(sim.known.free[0])["policy_ids"] == []
    assert sim._control("GET", "/settings")["bind_limit"] == 20
    assert sim._control("GET", "/faults")["faults"] == []


def test_a_reset_clears_the_journal(sim: Sim) -> None:
    sim.get("/devices")
    sim._control("POST", "/reset")
    assert sim.journal() == []


def test_a_reset_can_change_settings(sim: Sim) -> None:
    sim.reset(bind_limit=1)
    assert sim.bind(*sim.known.free[:2]).status_code == 400


def test_the_same_seed_gives_the_same_state(sim: Sim) -> None:
    def state(**reset: Any) -> tuple[Any, ...]:
        sim._control("POST", "/reset", {"devices": 60} | reset)
        return sim.get("/devices?limit=50").json(), sim.get(
            "/device-policies?limit=50"
        ).json()

    first = state()
    assert state() == first
    assert state(seed=2) != first


@pytest.mark.parametrize("devices", [40, 61, 1000])
def test_the_first_devices_do_not_depend_on_the_number_of_devices(
    sim: Sim, devices: int
) -> None:
    first = sim.get("/devices?limit=40").json()["devices"]
    sim.reset(devices)
    assert sim.get("/devices?limit=40").json()["devices"] == first


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("devices", [40, 500])
def test_every_state_has_the_known_ids(sim: Sim, devices: int, seed: int) -> None:
    sim._control("POST", "/reset", {"devices": devices, "seed": seed})
    known = sim._control("GET", "/known-ids")
    assert None not in known.values()
    assert len(set(known["free"])) == 10
    for status in ("online", "offline", "inactive", "abnormal", "frozen"):
        assert sim.status(known[status]) == status.upper()
    assert sim.device(known["child"])["gateway_id"] == known["gateway"]
    assert len(sim.device(known["full"])["policy_ids"]) == 5


def test_the_known_ids_do_not_change_with_the_state(sim: Sim) -> None:
    sim.post(f"/devices/{sim.known.online}/freeze")
    assert sim._control("GET", "/known-ids")["online"] == sim.known.online


def test_the_demo_has_names_in_several_languages(sim: Sim) -> None:
    sim.reset(500)
    text = str(
        [sim.get(f"/devices?limit=50&offset={n}").json() for n in range(0, 500, 50)]
    )
    assert all(
        word in text for word in ("Füllstand", "水表", "Šoupátko", "環境", "Prensa")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"typo": 1},
        {"already_bound": "maybe"},
        {"rate": -1},
        {"task_speed": 0},
        {"bind_limit": "x"},
    ],
)
def test_an_invalid_setting_is_refused(sim: Sim, changes: dict[str, Any]) -> None:
    assert (
        sim.session.patch(sim.control + "/_sim/settings", json=changes).status_code
        == 400
    )


def test_an_invalid_reset_is_refused(sim: Sim) -> None:
    for body in ({"typo": 1}, {"settings": {"typo": 1}}, {"devices": -1}):
        assert (
            sim.session.post(sim.control + "/_sim/reset", json=body).status_code == 400
        )
    assert sim.get("/devices").json()["page"]["count"] == 60


def test_the_control_port_changes_a_device(sim: Sim) -> None:
    sim._control(
        "PATCH",
        f"/devices/{sim.known.online}",
        {"status": "ABNORMAL", "device_name": "new"},
    )
    shown = sim.get(f"/devices/{sim.known.online}").json()
    assert (shown["status"], shown["device_name"]) == ("ABNORMAL", "new")


def test_a_device_moves_to_another_product_with_its_policies(sim: Sim) -> None:
    other = next(
        p
        for p in sim.get("/products").json()["products"]
        if p["app_id"] != sim.known.space
    )
    sim._control(
        "PATCH", f"/devices/{sim.known.full}", {"product_id": other["product_id"]}
    )
    assert len(sim.device(sim.known.full)["policy_ids"]) == 5
    rows = sim.get(f"/devices?limit=50&product_id={other['product_id']}").json()[
        "devices"
    ]
    assert sim.known.full in [row["device_id"] for row in rows]


def test_the_control_port_deletes_a_device_and_its_bindings(sim: Sim) -> None:
    sim._control("DELETE", f"/devices/{sim.known.full}")
    assert sim.get(f"/devices/{sim.known.full}").status_code == 404
    assert (
        sim._control("GET", "/bindings", query={"target_id": sim.known.full})[
            "bindings"
        ]
        == []
    )


def test_the_control_port_binds_without_checking_the_rules(sim: Sim) -> None:
    body = {"policy_id": sim.known.policy, "target_id": sim.known.full}
    assert sim._control("POST", "/bindings", body) == {"changed": True}
    assert len(sim.device(sim.known.full)["policy_ids"]) == 6
    assert sim._control("DELETE", "/bindings", query=body) == {"changed": True}


def test_the_control_port_renames_and_deletes(sim: Sim) -> None:
    sim._control("PATCH", f"/spaces/{sim.known.space}", {"name": "<b>north</b>"})
    sim._control("PATCH", f"/products/{sim.known.product}", {"name": "renamed"})
    sim._control("PATCH", f"/policies/{sim.known.policy}", {"policy_name": "isolated"})
    assert sim.get(f"/apps/{sim.known.space}").json()["app_name"] == "<b>north</b>"
    assert sim.get(f"/products/{sim.known.product}").json()["name"] == "renamed"
    assert (
        sim.get(f"/device-policies/{sim.known.policy}").json()["policy_name"]
        == "isolated"
    )
    sim._control("DELETE", f"/policies/{sim.known.policy}")
    assert sim.get(f"/device-policies/{sim.known.policy}").status_code == 404


@pytest.mark.parametrize("path", ["devices/x", "policies/x", "products/x", "spaces/x"])
def test_the_control_port_answers_404_for_an_unknown_object(
    sim: Sim, path: str
) -> None:
    body = {"name": "x"} if path[0] in "ps" and "pol" not in path else {}
    assert sim.session.patch(f"{sim.control}/_sim/{path}", json=body).status_code == 404


def test_neither_port_serves_the_endpoints_of_the_other(sim: Sim) -> None:
    assert sim.call("GET", "/_sim/health").status_code == 404
    assert sim.session.get(sim.control + sim.root + "/devices").status_code == 404
