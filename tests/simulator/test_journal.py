from typing import Any

import pytest

from tests.simulator.conftest import Sim


def test_the_journal_records_a_request_and_what_it_changed(sim: Sim) -> None:
    one = sim.known.free[0]
    answer = sim.bind(one, sim.known.full, "unknown")
    entry = sim.journal()[0]
    assert (
        entry.items()
        >= {
            "operation": "BindDevicePolicy",
            "method": "POST",
            "request_id": answer.headers["X-Request-Id"],
            "target_type": "device",
            "target_ids": [one, sim.known.full, "unknown"],
            "policy_id": sim.known.policy,
            "applied": [one],
            "status": 200,
            "error_code": None,
            "fault": None,
            "answered": True,
        }.items()
    )


def test_the_journal_records_refused_requests(sim: Sim) -> None:
    sim.post(f"/devices/{sim.known.child}/freeze")
    sim.get("/devices", headers={})
    sim.get("/nonsense")
    rows = [
        (entry["operation"], entry["status"], entry["error_code"])
        for entry in sim.journal()
    ]
    assert rows == [
        ("FreezeDevice", 403, "IOTDA.014038"),
        ("ListDevices", 401, "APIGW.0301"),
        ("Unknown", 404, "APIGW.0101"),
    ]


def test_entries_are_numbered_in_order(sim: Sim) -> None:
    for path in ("/devices", "/products", "/apps"):
        sim.get(path)
    first, *rest = sim.journal()
    assert [entry["seq"] - first["seq"] for entry in rest] == [1, 2]
    assert sim.journal(after=first["seq"]) == rest
    assert [entry["operation"] for entry in sim.journal(operation="ListProducts")] == [
        "ListProducts"
    ]
    assert len(sim.journal(operation="")) == 3


def test_the_journal_contains_no_secret(sim: Sim) -> None:
    sim.login()
    sim.get(f"/devices/{sim.known.online}")
    text = str(sim.journal())
    secret = sim.get(f"/devices/{sim.known.online}").json()["auth_info"]["secret"]
    assert not any(
        canary in text for canary in (secret, sim.token, "demo-password", "DEMOSK")
    )


@pytest.mark.parametrize("act", ["freeze", "unfreeze"])
def test_a_repeated_request_applies_nothing(sim: Sim, act: str) -> None:
    sim.patch(repeat_freeze="ok", repeat_unfreeze="ok")
    which = sim.known.online if act == "freeze" else sim.known.frozen
    for _ in range(2):
        sim.post(f"/devices/{which}/{act}")
    assert [entry["applied"] for entry in sim.journal()] == [[which], []]


def test_the_journal_agrees_with_the_bindings(sim: Sim) -> None:
    for ids in (sim.known.free[:4], sim.known.free[2:6], [sim.known.full, "unknown"]):
        sim.bind(*ids)
    before = {row["target_id"] for row in bindings_after(sim)}
    changed = [one for entry in sim.journal() for one in entry["applied"]]
    assert sorted(changed) == sorted(set(changed))
    assert before >= set(changed)
    assert len(before) == 3 + len(changed)


def bindings_after(sim: Any) -> Any:
    return sim._control("GET", "/bindings", query={"policy_id": sim.known.policy})[
        "bindings"
    ]


def test_the_journal_can_be_cleared(sim: Sim) -> None:
    sim.get("/devices")
    sim._control("DELETE", "/journal")
    assert sim.journal() == []
