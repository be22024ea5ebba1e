"""The vendor's unmodified SDK as a client."""

from typing import Any

import pytest

from tests.simulator.conftest import Sim

from .signing import temporary_home

with temporary_home():
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
    from huaweicloudsdkcore.http.http_config import HttpConfig
    from huaweicloudsdkcore.region.region import Region
    from huaweicloudsdkiotda import v5

# The SDK's own warning.
pytestmark = pytest.mark.filterwarnings(
    "ignore:datetime.datetime.utcnow:DeprecationWarning"
)


@pytest.fixture(params=["ordinary", "derived"])
def client(request: pytest.FixtureRequest, sim: Sim) -> Any:
    credentials = BasicCredentials("DEMOAK", "DEMOSK", sim.known.project_id)
    builder = v5.IoTDAClient.new_builder().with_http_config(HttpConfig(timeout=(5, 5)))
    if request.param == "ordinary":
        return builder.with_credentials(credentials).with_endpoints([sim.api]).build()
    sim.patch(host_kind="instance")
    credentials = credentials.with_derived_predicate(
        BasicCredentials.get_default_derived_predicate()
    )
    return (
        builder.with_credentials(credentials)
        .with_region(Region("cn-north-4", sim.api))
        .build()
    )


def bind_body(*ids: Any) -> Any:
    return v5.BindDevicePolicy(target_type="device", target_ids=list(ids))


def test_the_sdk_walks_every_device(client: Any) -> None:
    seen: list[Any] = []
    marker = None
    while rows := (
        answer := client.list_devices(v5.ListDevicesRequest(limit=25, marker=marker))
    ).devices:
        seen, marker = [*seen, *(row.device_id for row in rows)], answer.page.marker
    assert len(set(seen)) == len(seen) == answer.page.count == 60


def test_the_sdk_filters_by_a_name_that_needs_encoding(sim: Sim, client: Any) -> None:
    sim._control(
        "PATCH", f"/devices/{sim.known.online}", {"device_name": "a b&c/d+e~*漢"}
    )
    rows = client.list_devices(
        v5.ListDevicesRequest(device_name="a b&c/d+e~*漢")
    ).devices
    assert [row.device_id for row in rows] == [sim.known.online]


def test_the_sdk_shows_freezes_and_unfreezes(sim: Sim, client: Any) -> None:
    known = sim.known.online
    assert client.show_device(v5.ShowDeviceRequest(device_id=known)).status == "ONLINE"
    assert (
        client.freeze_device(v5.FreezeDeviceRequest(device_id=known)).status_code == 204
    )
    assert client.show_device(v5.ShowDeviceRequest(device_id=known)).status == "FROZEN"
    assert (
        client.unfreeze_device(v5.UnfreezeDeviceRequest(device_id=known)).status_code
        == 204
    )


def test_the_sdk_reads_an_error(sim: Sim, client: Any) -> None:
    with pytest.raises(ClientRequestException) as caught:
        client.freeze_device(v5.FreezeDeviceRequest(device_id=sim.known.child))
    assert (caught.value.status_code, caught.value.error_code) == (403, "IOTDA.014038")
    assert (
        caught.value.request_id
        == sim.journal(operation="FreezeDevice")[0]["request_id"]
    )


def test_the_sdk_binds_and_unbinds(sim: Sim, client: Any) -> None:
    one, policy = sim.known.free[0], sim.known.policy
    body = bind_body(one, sim.known.full)
    bound = client.bind_device_policy(
        v5.BindDevicePolicyRequest(policy_id=policy, body=body)
    )
    assert bound.success_targets == [one]
    assert [(row.target_id, row.error_code) for row in bound.failure_targets] == [
        (sim.known.full, "IOTDA.015204")
    ]
    body = v5.UnBindDevicePolicy(target_type="device", target_ids=[one])
    answer = client.unbind_device_policy(
        v5.UnbindDevicePolicyRequest(policy_id=policy, body=body)
    )
    assert answer.success_targets == [one]


def test_the_sdk_is_refused_with_21_ids(sim: Sim, client: Any) -> None:
    body = bind_body(*(f"n{n}" for n in range(21)))
    with pytest.raises(ClientRequestException, match=r"IOTDA\.000006"):
        client.bind_device_policy(
            v5.BindDevicePolicyRequest(policy_id=sim.known.policy, body=body)
        )


def test_the_sdk_lists_targets(sim: Sim, client: Any) -> None:
    body = v5.ShowTargetsInDevicePolicyRequestBody(target_type="device", limit=2)
    request = v5.ShowTargetsInDevicePolicyRequest(policy_id=sim.known.policy, body=body)
    answer = client.show_targets_in_device_policy(request)
    assert (len(answer.targets), answer.page.count) == (2, 3)


def test_the_sdk_creates_and_deletes_a_policy(client: Any) -> None:
    statement = v5.Statement(
        effect="DENY", actions=["iotda:devices:publish"], resources=["topic:/a/#"]
    )
    body = v5.CreateDevicePolicy(policy_name="from_the_sdk", statement=[statement])
    made = client.create_device_policy(v5.CreateDevicePolicyRequest(body=body))
    shown = client.show_device_policy(
        v5.ShowDevicePolicyRequest(policy_id=made.policy_id)
    )
    assert shown.statement[0].resources == ["topic:/a/#"]
    client.delete_device_policy(v5.DeleteDevicePolicyRequest(policy_id=made.policy_id))
    rows = client.list_device_policies(v5.ListDevicePoliciesRequest(limit=50)).policies
    assert made.policy_id not in [row.policy_id for row in rows]


def test_the_sdk_freezes_by_a_batch_task(sim: Sim, client: Any) -> None:
    sim.patch(task_delay_s=0, task_speed=1e6)
    body = v5.CreateBatchTask(
        task_name="all", task_type="freezeDevices", targets=sim.known.free
    )
    task = client.create_batch_task(v5.CreateBatchTaskRequest(body=body))
    sim._control("GET", "/health")
    shown = client.show_batch_task(v5.ShowBatchTaskRequest(task_id=task.task_id))
    assert (shown.batchtask.status, shown.batchtask.task_progress.success) == (
        "Success",
        10,
    )


def test_the_sdk_finds_its_project(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_IAM_ENDPOINT", sim.api)
    builder = v5.IoTDAClient.new_builder().with_credentials(
        BasicCredentials("DEMOAK", "DEMOSK")
    )
    client = builder.with_region(Region("cn-north-4", sim.api)).build()
    assert client.list_devices(v5.ListDevicesRequest(limit=1)).page.count == 60


def test_the_sdk_lists_products_and_spaces(client: Any) -> None:
    assert client.list_products(v5.ListProductsRequest(limit=50)).page.count == 10
    assert len(client.show_applications(v5.ShowApplicationsRequest()).applications) == 4
