from typing import Any

import pytest

from tests.simulator.conftest import Sim


def walk(sim: Any, path: Any, name: Any, limit: int = 50, **query: Any) -> Any:
    """Return all rows of a list, page by page."""
    seen, marker = [], ""
    while True:
        extra = "".join(f"&{key}={value}" for key, value in query.items()) + marker
        answer = sim.get(f"{path}?limit={limit}{extra}").json()
        seen += answer[name]
        if len(answer[name]) < limit:
            return seen
        marker = "&marker=" + answer["page"]["marker"]


def test_the_default_limit_is_ten(sim: Sim) -> None:
    answer = sim.get("/devices").json()
    assert len(answer["devices"]) == 10
    assert answer["page"]["count"] == 60


def test_a_walk_by_marker_returns_every_device_once(sim: Sim) -> None:
    ids = [device["device_id"] for device in walk(sim, "/devices", "devices", limit=7)]
    assert len(ids) == len(set(ids)) == 60


def test_an_offset_counts_from_the_marker(sim: Sim) -> None:
    whole = [device["device_id"] for device in walk(sim, "/devices", "devices")]
    marker = sim.get("/devices?limit=20").json()["page"]["marker"]
    window = sim.get(f"/devices?limit=5&offset=10&marker={marker}").json()["devices"]
    assert [device["device_id"] for device in window] == whole[30:35]


def test_the_newest_device_is_listed_first(sim: Sim) -> None:
    product = sim.known.product
    new = sim._control(
        "POST", "/devices", {"product_id": product, "node_id": "brand-new"}
    )
    assert (
        sim.get("/devices?limit=1").json()["devices"][0]["device_id"]
        == new["device_id"]
    )


def test_a_walk_by_marker_is_complete_while_devices_are_added(sim: Sim) -> None:
    first = sim.get("/devices?limit=30").json()
    sim._control(
        "POST", "/devices", {"product_id": sim.known.product, "node_id": "late"}
    )
    rest = sim.get(f"/devices?limit=50&marker={first['page']['marker']}").json()[
        "devices"
    ]
    assert len(rest) == 30


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "IOTDA.000017"),
        ("limit=51", "IOTDA.000017"),
        ("limit=x", "IOTDA.000017"),
        ("offset=501", "IOTDA.000006"),
        ("offset=-1", "IOTDA.000006"),
        ("marker=short", "IOTDA.000018"),
        ("marker=" + "g" * 24, "IOTDA.000018"),
    ],
)
@pytest.mark.parametrize("path", ["/devices", "/products", "/device-policies"])
def test_an_invalid_window_is_refused(
    sim: Sim, path: str, query: str, code: str
) -> None:
    answer = sim.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)


def test_list_targets_reads_its_window_from_the_body(sim: Sim) -> None:
    path = f"/device-policies/{sim.known.policy}/list-targets"
    answer = sim.post(path, {"limit": 2}).json()
    assert (len(answer["targets"]), answer["page"]["count"]) == (2, 3)
    rest = sim.post(path, {"limit": 2, "marker": answer["page"]["marker"]}).json()[
        "targets"
    ]
    assert len(rest) == 1


def test_list_targets_refuses_an_invalid_window(sim: Sim) -> None:
    answer = sim.post(
        f"/device-policies/{sim.known.policy}/list-targets", {"limit": 51}
    )
    assert answer.json()["error_code"] == "IOTDA.000017"


@pytest.mark.parametrize(
    ("setting", "page"),
    [
        ("absent", {"count": 60}),
        ("empty", {"count": 60, "marker": ""}),
        ("echo", {"count": 60, "marker": "0" * 24}),
    ],
)
def test_a_setting_selects_the_marker_of_an_empty_page(
    sim: Sim, setting: str, page: dict[str, Any]
) -> None:
    sim.patch(empty_page_marker=setting)
    answer = sim.get("/devices?marker=" + "0" * 24).json()
    assert answer == {"devices": [], "page": page}


def test_a_setting_counts_only_the_rows_after_the_marker(sim: Sim) -> None:
    marker = sim.get("/devices?limit=20").json()["page"]["marker"]
    sim.patch(count_after_marker=True)
    assert sim.get(f"/devices?marker={marker}").json()["page"]["count"] == 40
