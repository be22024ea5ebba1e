"""The simulator against the vendor's OpenAPI description, call by call.

The simulator of all tests checks each of its answers; see tests/contract.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest

from iotda_admin.simulator.api.dispatch import Api
from iotda_admin.simulator.api.routers import iam, iotda
from iotda_admin.simulator.routing import Route
from iotda_admin.simulator.server import Response
from tests.contract.openapi import Difference, Json, operation
from tests.contract.process import SimulatorProcess
from tests.contract.simulator import check_error
from tests.simulator.conftest import Sim

assert Api  # its module loads the routes
ROUTES: list[tuple[str, str, Route[Any]]] = [
    (service, method, route)
    for service, router in (("iotda", iotda), ("iam", iam))
    for method, routes in router._routes.items()
    for route in routes
]
NAMES = [route.operation for _service, _method, route in ROUTES]
STATEMENT = {
    "effect": "DENY",
    "actions": ["iotda:devices:publish"],
    "resources": ["topic:/v1/debug"],
}


def described(name: str, service: str = "iotda") -> Any:
    return operation(service, name)


@pytest.mark.parametrize(("service", "method", "route"), ROUTES, ids=NAMES)
def test_each_call_is_described(service: str, method: str, route: Route[Any]) -> None:
    found = described(route.operation, service)
    assert found, f"{route.operation} is not described"
    url = re.sub(r"\(\?P(<\w+>)\[\^/\]\+\)", r"\1", route.pattern.pattern)
    assert (method, url.replace("<", "{").replace(">", "}")) == (
        found.method,
        found.url,
    )


def new_policy(sim: Sim) -> Any:
    body = {"policy_name": "checked", "statement": [STATEMENT]}
    return sim.post("/device-policies", body)


def new_task(sim: Sim) -> Any:
    sim.patch(task_delay_s=0, task_speed=1e6)
    targets = [sim.known.online, sim.known.child]
    body = {"task_name": "checked", "task_type": "freezeDevices", "targets": targets}
    return sim.post("/batchtasks", body)


def of_policy(sim: Sim, method: str, act: str = "", body: Any = None) -> Any:
    return sim.call(method, f"/device-policies/{sim.known.policy}{act}", body)


def of_task(sim: Sim, method: str, act: str = "") -> Any:
    return sim.call(method, f"/batchtasks/{new_task(sim).json()['task_id']}{act}")


TYPED = {"target_type": "device"}
# A call of each kind that succeeds, of all but those that the simulator refuses.
CALLS: dict[str, Callable[[Sim], Any]] = {
    "BindDevicePolicy": lambda sim: sim.bind(sim.known.free[0], sim.known.full),
    "CreateBatchTask": new_task,
    "CreateDevicePolicy": new_policy,
    "DeleteBatchTask": lambda sim: of_task(sim, "DELETE"),
    "DeleteDevice": lambda sim: sim.call("DELETE", f"/devices/{sim.known.free[0]}"),
    "DeleteDevicePolicy": lambda sim: of_policy(sim, "DELETE"),
    "FreezeDevice": lambda sim: sim.post(f"/devices/{sim.known.online}/freeze"),
    "KeystoneCreateUserTokenByPassword": lambda sim: sim.login(),
    "KeystoneListProjects": lambda sim: sim.get("/v3/projects"),
    "ListBatchTasks": lambda sim: (
        new_task(sim) and sim.get("/batchtasks?task_type=freezeDevices")
    ),
    "ListDevicePolicies": lambda sim: sim.get("/device-policies?limit=50"),
    "ListDevices": lambda sim: sim.get("/devices?limit=50"),
    "ListProducts": lambda sim: sim.get("/products?limit=50"),
    "RetryBatchTask": lambda sim: of_task(sim, "POST", "/retry"),
    "ShowApplication": lambda sim: sim.get(f"/apps/{sim.known.space}"),
    "ShowApplications": lambda sim: sim.get("/apps"),
    "ShowBatchTask": lambda sim: of_task(sim, "GET"),
    "ShowDevice": lambda sim: sim.get(f"/devices/{sim.known.inactive}"),
    "ShowDevicePolicy": lambda sim: of_policy(sim, "GET"),
    "ShowProduct": lambda sim: sim.get(f"/products/{sim.known.product}"),
    "ShowTargetsInDevicePolicy": lambda sim: of_policy(
        sim, "POST", "/list-targets", TYPED
    ),
    "StopBatchTask": lambda sim: of_task(sim, "POST", "/stop"),
    "UnbindDevicePolicy": lambda sim: sim.bind(sim.known.free[0], act="unbind"),
    "UnfreezeDevice": lambda sim: sim.post(f"/devices/{sim.known.frozen}/unfreeze"),
    "UpdateDevicePolicy": lambda sim: of_policy(sim, "PUT", body={"policy_name": "x"}),
}
REFUSED = {"RetryBatchTask", "StopBatchTask"}


@pytest.mark.parametrize("name", NAMES)
def test_each_call_answers_as_described(sim: Sim, name: str) -> None:
    assert name in CALLS, f"add a call of {name}"
    assert CALLS[name](sim).ok == (name not in REFUSED)
    assert sim.journal(operation=name)
    # The fixture fails the test if an answer differs.


def test_a_difference_fails_the_test_that_met_it(
    sim: Sim, simulator_process: SimulatorProcess
) -> None:
    sim.patch(f"/devices/{sim.known.online}", tags=[["site", "Zürich"]])
    sim.get(f"/devices/{sim.known.online}")
    with pytest.raises(AssertionError, match=r"tag_value must match.*Zürich"):
        simulator_process.require_no_errors()


@pytest.mark.parametrize(
    ("name", "status", "content"),
    [
        ("ListDevices", 201, {"devices": []}),
        ("ListDevices", 200, None),
        ("ListDevices", 200, {"device": []}),
        ("ListDevices", 200, {"devices": [{"device_id": 1}]}),
        ("ListDevices", 200, {"devices": [{"status": "frozen"}]}),
        ("ListDevices", 200, {"devices": [], "page": {"count": "1"}}),
        ("ShowDevice", 200, {"auth_info": {"secret": "short"}}),
        ("FreezeDevice", 204, {}),
        ("FreezeDevice", 200, None),
    ],
)
def test_an_answer_that_is_not_as_described_is_a_difference(
    name: str, status: int, content: Any
) -> None:
    with pytest.raises(Difference):
        described(name).check_answer(status, content)


@pytest.mark.parametrize(
    ("name", "parameters", "body"),
    [
        ("ListDevices", {"limit": "50", "marker": "0" * 24}, None),
        ("ListDevices", {"node_id": "00:1a:2b:3c:4d:5e"}, None),
        ("ListDevices", {"is_cascade_query": "true", "marker": "A" * 24}, None),
        ("ShowDevicePolicy", {"policy_id": "ABCDEF" * 4}, None),
        ("BindDevicePolicy", {"policy_id": "a" * 24}, TYPED | {"target_ids": ["x"]}),
    ],
)
def test_a_request_as_described_has_no_difference(
    name: str, parameters: dict[str, str], body: Json | None
) -> None:
    described(name).check_request({"project_id": "a" * 32} | parameters, body)


@pytest.mark.parametrize(
    ("name", "parameters", "body"),
    [
        ("ListDevices", {"limit": "51"}, None),
        ("ListDevices", {"limit": "many"}, None),
        ("ListDevices", {"status": "FROZEN"}, None),
        ("ListDevices", {}, {}),
        ("ListBatchTasks", {}, None),
        ("ShowDevice", {"device_id": "a b"}, None),
        ("DeleteDevicePolicy", {"policy_id": "a" * 23}, None),
        ("BindDevicePolicy", {"policy_id": "a" * 24}, None),
        ("BindDevicePolicy", {"policy_id": "a" * 24}, TYPED),
        (
            "BindDevicePolicy",
            {"policy_id": "a" * 24},
            TYPED | {"target_ids": ["x"], "force": True},
        ),
        ("ShowTargetsInDevicePolicy", {"policy_id": "a" * 24}, None),
    ],
)
def test_a_request_that_is_not_as_described_is_a_difference(
    name: str, parameters: dict[str, str], body: Json | None
) -> None:
    with pytest.raises(Difference):
        described(name).check_request({"project_id": "a" * 32} | parameters, body)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (403, {"error_code": "IOTDA.014038"}),
        (403, {"error_code": "014038", "error_msg": "x"}),
        (403, {"code": "IOTDA.014038", "message": "x"}),
        (403, b"<html>"),
        (400, {"error_code": "IOTDA.014038", "error_msg": "x"}),
    ],
)
def test_an_error_that_is_not_as_described_is_a_difference(
    status: int, content: Any
) -> None:
    with pytest.raises(Difference):
        check_error(described("FreezeDevice"), Response(status, content))
