"""Lists can be stale; the details of a device are not."""

from typing import Any

import pytest

from tests.simulator.conftest import Sim


@pytest.fixture
def sim(sim: Sim) -> Sim:
    sim.patch(stale_list_ms=1e6)
    return sim


def in_list(sim: Any, device_id: Any) -> Any:
    rows = (
        sim.get("/devices?limit=50").json()["devices"]
        + sim.get("/devices?offset=50").json()["devices"]
    )
    return next(row["status"] for row in rows if row["device_id"] == device_id)


def test_lists_show_a_freeze_late(sim: Sim) -> None:
    sim.post(f"/devices/{sim.known.online}/freeze")
    assert sim.get(f"/devices/{sim.known.online}").json()["status"] == "FROZEN"
    assert in_list(sim, sim.known.online) == "ONLINE"
    sim.patch(stale_list_ms=0)
    assert in_list(sim, sim.known.online) == "FROZEN"


def test_list_targets_shows_a_binding_late(sim: Sim) -> None:
    def targets() -> Any:
        path = f"/device-policies/{sim.known.policy}/list-targets"
        return sim.post(path, {}).json()["page"]["count"]

    sim.bind(sim.known.free[0])
    assert targets() == 3
    sim.patch(stale_list_ms=0)
    assert targets() == 4
