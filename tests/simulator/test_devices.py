from typing import Any

import pytest

from tests.simulator.conftest import Sim

CHILD = (
    "It is not allowed to freeze sub-devices, only gateways or directly connected "
    "devices can be frozen."
)


def listed(sim: Any, query: Any) -> list[Any]:
    return [
        device["device_id"]
        for device in sim.get(f"/devices?limit=50&{query}").json()["devices"]
    ]


def test_only_the_details_of_a_device_contain_secrets(sim: Sim) -> None:
    device = sim.get("/devices?limit=1").json()["devices"][0]
    assert "auth_info" not in device
    shown = sim.get(f"/devices/{device['device_id']}").json()
    assert {"auth_info", "create_time", "active_time", "modules"} <= set(shown)


def test_the_details_contain_the_secret_in_clear_text(sim: Sim) -> None:
    assert (
        len(sim.get(f"/devices/{sim.known.online}").json()["auth_info"]["secret"]) == 32
    )


def test_an_unknown_device_is_not_found(sim: Sim) -> None:
    answer = sim.get("/devices/unknown")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "IOTDA.014000")


@pytest.mark.parametrize("field", ["product_id", "app_id", "node_id", "device_name"])
def test_devices_are_filtered_by_one_field(sim: Sim, field: str) -> None:
    device = sim.get("/devices?limit=1").json()["devices"][0]
    rows = sim.get("/devices", headers=None).json()["devices"]
    found = sim.session.get(
        sim.api + sim.root + "/devices",
        params={field: device[field], "limit": 50},
        headers={"X-Auth-Token": sim.token},
    ).json()
    assert device in found["devices"]
    assert {row[field] for row in found["devices"]} == {device[field]}
    assert found["page"]["count"] < 60 == len(rows) * 6


def test_filters_are_combined(sim: Sim) -> None:
    device = sim.device(sim.known.online)
    both = f"product_id={device['product_id']}&node_id={device['node_id']}"
    assert listed(sim, both) == [sim.known.online]
    assert listed(sim, f"app_id={sim.known.space}&product_id={'0' * 24}") == []


def test_the_children_of_a_gateway_are_listed(sim: Sim) -> None:
    children = listed(sim, f"gateway_id={sim.known.gateway}")
    assert len(children) == 4
    assert sim.known.gateway not in children


def test_grandchildren_are_listed_only_on_request(sim: Sim) -> None:
    new = {
        "product_id": sim.known.product,
        "node_id": "grandchild",
        "gateway_id": sim.known.child,
    }
    sim._control("POST", "/devices", new)
    assert len(listed(sim, f"gateway_id={sim.known.gateway}")) == 4
    assert (
        len(listed(sim, f"gateway_id={sim.known.gateway}&is_cascade_query=true")) == 5
    )


def test_the_start_time_is_inclusive_and_the_end_time_exclusive(sim: Sim) -> None:
    when = sim.device(sim.known.online)["create_time"]
    assert sim.known.online in listed(sim, f"start_time={when}")
    assert sim.known.online not in listed(sim, f"end_time={when}")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("start_time=yesterday", 400, "IOTDA.000009"),
        ("start_time=20260102T000000Z&end_time=20260101T000000Z", 400, "IOTDA.000010"),
        ("product_id=" + "x" * 37, 400, "IOTDA.000006"),
        ("is_cascade_query=perhaps", 400, "IOTDA.000006"),
        ("app_id=nowhere", 403, "IOTDA.001000"),
    ],
)
def test_an_invalid_filter_is_refused(
    sim: Sim, query: str, status: int, code: str
) -> None:
    answer = sim.get(f"/devices?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_a_device_is_frozen_and_unfrozen(sim: Sim) -> None:
    answer = sim.post(f"/devices/{sim.known.online}/freeze")
    assert (answer.status_code, answer.content, sim.status(sim.known.online)) == (
        204,
        b"",
        "FROZEN",
    )
    assert "Content-Length" not in answer.headers
    assert sim.post(f"/devices/{sim.known.online}/unfreeze").status_code == 204
    assert sim.status(sim.known.online) == "OFFLINE"


@pytest.mark.parametrize(
    ("act", "which", "code", "message"),
    [
        ("freeze", "child", "IOTDA.014038", CHILD),
        ("unfreeze", "child", "IOTDA.014038", CHILD),
        ("freeze", "frozen", "IOTDA.014039", "The device is already frozen."),
        (
            "unfreeze",
            "online",
            "IOTDA.014040",
            "The device is not frozen, can not unfreeze.",
        ),
    ],
)
def test_a_freeze_or_unfreeze_in_the_wrong_state_is_refused(
    sim: Sim, act: str, which: str, code: str, message: str
) -> None:
    answer = sim.post(f"/devices/{getattr(sim.known, which)}/{act}")
    assert answer.status_code == 403
    assert answer.json()["error_code"] == code
    assert answer.json()["error_msg"].endswith(message)


def test_children_keep_their_status_while_their_gateway_is_frozen(sim: Sim) -> None:
    sim.patch(f"/devices/{sim.known.child}", status="INACTIVE")
    assert sim.post(f"/devices/{sim.known.gateway}/freeze").status_code == 204
    assert sim.device(sim.known.child)["gateway_id"] == sim.known.gateway
    assert sim.status(sim.known.child) == "INACTIVE"


def test_a_device_that_never_connected_has_no_times_of_a_connection(sim: Sim) -> None:
    shown = sim.get(f"/devices/{sim.known.inactive}").json()
    assert {"active_time", "connection_status_update_time"} & set(shown) == set()


def test_a_node_id_may_be_a_mac_address(sim: Sim) -> None:
    node_id = "00:1A:2B:3C:4D:5E"
    new = {"product_id": sim.known.product, "node_id": node_id, "device_id": "by-mac"}
    sim._control("POST", "/devices", new)
    found = sim.get(f"/devices?node_id={node_id}").json()["devices"]
    assert [one["device_id"] for one in found] == ["by-mac"]


def test_a_setting_accepts_a_repeated_freeze(sim: Sim) -> None:
    sim.patch(repeat_freeze="ok")
    assert sim.post(f"/devices/{sim.known.frozen}/freeze").status_code == 204


def test_a_setting_accepts_a_repeated_unfreeze(sim: Sim) -> None:
    sim.patch(repeat_unfreeze="ok")
    assert sim.post(f"/devices/{sim.known.online}/unfreeze").status_code == 204


@pytest.mark.parametrize("status", ["offline", "inactive", "online"])
def test_a_setting_selects_the_status_after_an_unfreeze(sim: Sim, status: str) -> None:
    sim.patch(after_unfreeze=status)
    sim.post(f"/devices/{sim.known.frozen}/unfreeze")
    assert sim.status(sim.known.frozen) == status.upper()


def test_a_device_that_never_connected_is_inactive_after_an_unfreeze(sim: Sim) -> None:
    for act in ("freeze", "unfreeze"):
        sim.post(f"/devices/{sim.known.inactive}/{act}")
    assert sim.status(sim.known.inactive) == "INACTIVE"


def test_an_encoded_slash_is_part_of_the_id(sim: Sim) -> None:
    sim.get("/devices/a%2Fb%20c")
    assert (
        sim.journal()[0].items()
        >= {"operation": "ShowDevice", "target_ids": ["a/b c"]}.items()
    )


@pytest.mark.parametrize("device_id", ["a%2Fb", "a%20b", "x" * 129, "a%0A"])
def test_an_invalid_device_id_is_refused(sim: Sim, device_id: str) -> None:
    answer = sim.get(f"/devices/{device_id}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "IOTDA.000006")


def test_an_unknown_path_or_method_is_not_found(sim: Sim) -> None:
    for method, path in [
        ("DELETE", "/devices"),
        ("GET", "/nonsense"),
        ("GET", "/devices/"),
        ("GET", "/v9"),
    ]:
        answer = sim.call(method, path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "APIGW.0101")


def test_every_response_has_a_request_id(sim: Sim) -> None:
    for path in ("/devices", "/devices/unknown", "/nonsense"):
        assert len(sim.get(path).headers["X-Request-Id"]) == 32


def test_products_and_spaces_are_listed_and_shown(sim: Sim) -> None:
    products = sim.get("/products?limit=50").json()["products"]
    assert len(products) == 10
    assert sim.get(f"/products/{sim.known.product}").json()["service_capabilities"]
    spaces = sim.get("/apps").json()["applications"]
    assert [space["default_app"] for space in spaces] == [True, False, False, False]
    assert [
        s["app_id"] for s in sim.get("/apps?default_app=true").json()["applications"]
    ] == [sim.known.space]
    assert sim.get(f"/apps/{sim.known.space}").json()["app_name"] == "plant-north"


def test_products_are_filtered_by_space_and_name(sim: Sim) -> None:
    rows = sim.get(f"/products?app_id={sim.known.space}").json()["products"]
    assert {row["app_id"] for row in rows} == {sim.known.space}
    assert (
        len(sim.get(f"/products?product_name={rows[0]['name']}").json()["products"])
        == 1
    )


def test_an_unknown_product_is_404_and_an_unknown_space_403(sim: Sim) -> None:
    assert sim.get("/products/none").status_code == 404
    answer = sim.get("/apps/none")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "IOTDA.001000")
