"""The client against the simulator, in another process."""

from collections.abc import Callable
from typing import Any

import pytest

from iotda_admin.iotda import (
    AkSk,
    BadResponse,
    IotdaError,
    PageQuery,
    PasswordToken,
    Rejected,
    Throttled,
    Unauthorized,
    Unreachable,
    walk,
    walk_windows,
)
from tests.iotda.conftest import Sim

KINDS = ["password", "sdk", "derived"]


@pytest.fixture
def auth(request: pytest.FixtureRequest, password_token: PasswordToken) -> Any:
    kind: Any = getattr(request, "param", "password")
    return (
        password_token
        if kind == "password"
        else AkSk("DEMOAK", "DEMOSK", "cn-north-4", signature=kind)
    )


@pytest.fixture
def client(sim: Sim, client_for: Callable[..., Any], auth: Any) -> Any:
    return client_for(sim.api, auth, deadline=5)


def connected(
    client_for: Callable[..., Any], sim: Any, auth: Any, deadline: Any
) -> Any:
    client = client_for(sim.api, auth, deadline=deadline)
    client.show_applications()  # has its token and a connection
    return client


@pytest.mark.parametrize("auth", KINDS, indirect=True)
def test_every_kind_of_credentials_works(sim: Sim, client: Any) -> None:
    device = client.show_device(sim.known["online"])
    assert client.list_devices().items
    assert client.freeze_device(device.device_id).status == 204
    assert client.show_device(device.device_id).status == "FROZEN"


def test_a_wrong_secret_key_is_explained(
    sim: Sim, client_for: Callable[..., Any]
) -> None:
    with pytest.raises(Unauthorized) as caught:
        client_for(sim.api, AkSk("DEMOAK", "wrong"), deadline=5).list_devices()
    assert abs(caught.value.clock_skew_s) < 5


def test_a_clock_that_is_off_is_explained(
    sim: Sim, client_for: Callable[..., Any]
) -> None:
    sim.change(clock_skew_s=-1500)
    with pytest.raises(Unauthorized) as caught:
        client_for(sim.api, AkSk("DEMOAK", "DEMOSK"), deadline=5).list_devices()
    assert caught.value.clock_skew_s == pytest.approx(1500, abs=5)


def test_both_walks_agree(client: Any) -> None:
    one_by_one = [device.device_id for device in walk(client.list_devices)]
    assert len(one_by_one) == len(set(one_by_one)) == 1200
    assert [
        d.device_id
        for d in walk_windows(client.list_devices, key=lambda d: d.device_id)
    ] == one_by_one


def test_a_device_is_frozen_and_unfrozen(sim: Sim, client: Any) -> None:
    device_id = sim.known["offline"]
    assert client.freeze_device(device_id).request_id
    with pytest.raises(Rejected, match=r"IOTDA\.014039"):
        client.freeze_device(device_id)
    client.unfreeze_device(device_id)
    with pytest.raises(Rejected, match=r"IOTDA\.014040"):
        client.unfreeze_device(device_id)
    with pytest.raises(Rejected, match=r"IOTDA\.014038"):
        client.freeze_device(sim.known["child"])


def test_a_bind_has_an_outcome_per_target(sim: Sim, client: Any) -> None:
    policy, full, free = sim.known["policy"], sim.known["full"], sim.known["free"][0]
    outcomes = client.bind_device_policy(policy, "device", [full, free]).outcomes(
        [full, free]
    )
    assert [v.error_code or v.state for v in outcomes.by_id.values()] == [
        "IOTDA.015204",
        "ok",
    ]
    targets = {
        t.target_id
        for t in walk(lambda page: client.show_targets_in_device_policy(policy, page))
    }
    assert free in targets
    assert full not in targets
    client.unbind_device_policy(policy, "device", [free])
    assert free not in {
        t.target_id for t in client.show_targets_in_device_policy(policy).items
    }


def test_a_policy_is_listed_and_shown(sim: Sim, client: Any) -> None:
    policy = client.show_device_policy(sim.known["policy"])
    assert policy.policy_name in {
        row.policy_name for row in client.list_device_policies().items
    }
    assert policy.statement[0].effect in ("ALLOW", "DENY")
    with pytest.raises(Rejected) as caught:
        client.show_device_policy("66b0c0ffee00112233445566")
    assert caught.value.not_found


def test_a_batch_task_is_created_listed_and_shown(sim: Sim, client: Any) -> None:
    task_id, ack = client.create_batch_task(
        "recall_17", "freezeDevices", [sim.known["offline"], sim.known["child"]]
    )
    assert ack.status == 201
    assert task_id in {
        row.task_id for row in client.list_batch_tasks("freezeDevices").items
    }
    shown = client.show_batch_task(task_id, PageQuery(limit=1))
    assert (len(shown.details.items), shown.details.count) == (1, 2)
    assert shown.task.task_progress.total == 2


def test_products_and_spaces_are_read(sim: Sim, client: Any) -> None:
    assert {space.app_id for space in client.show_applications()} >= {
        sim.known["space"]
    }
    assert {product.app_id for product in client.list_products().items} <= {
        space.app_id for space in client.show_applications()
    }


def test_a_write_with_an_expired_token_is_sent_again(sim: Sim, client: Any) -> None:
    client.show_applications()
    sim.fault("FreezeDevice", "expire_tokens")
    assert client.freeze_device(sim.known["offline"]).status == 204
    assert [e["operation"] for e in sim.journal() if e["applied"]] == ["FreezeDevice"]


LOST = ["hang", "drop", "reset", "truncate", "drip_body", "drip_headers"]
UNUSABLE = [
    "html",
    "empty",
    "error_200",
    "bad_json",
    "redirect",
    "huge",
    "gzip_bomb",
    "deep_json",
    "dup_key",
]


@pytest.mark.parametrize("fault", LOST + UNUSABLE)
def test_a_bind_without_a_usable_response_may_have_been_applied(
    sim: Sim, client_for: Callable[..., Any], auth: Any, fault: Any
) -> None:
    # Only these end with the deadline; a short one would be flaky for the others.
    endless = fault in ("hang", "drip_body", "drip_headers")
    client = connected(client_for, sim, auth, deadline=1 if endless else 5)
    sim.fault("BindDevicePolicy", fault, moment="after", bytes=16_000_000)
    with pytest.raises(Unreachable if fault in LOST else BadResponse) as caught:
        client.bind_device_policy(sim.known["policy"], "device", sim.known["free"][:2])
    assert caught.value.maybe_applied
    (entry,) = [e for e in sim.journal() if e["operation"] == "BindDevicePolicy"]
    assert entry["applied"] == sim.known["free"][:2]


@pytest.mark.parametrize(
    ("fault", "states"),
    [
        ("missing_target", ["unknown", "ok"]),
        ("dup_target", ["ok", "ok"]),
        ("both_lists", ["unknown", "ok"]),
    ],
)
def test_an_odd_bind_result_leaves_doubtful_ids_unknown(
    sim: Sim, client: Any, fault: str, states: list[Any]
) -> None:
    ids = sim.known["free"][:2]
    sim.fault("BindDevicePolicy", fault)
    outcomes = client.bind_device_policy(sim.known["policy"], "device", ids).outcomes(
        ids
    )
    assert [v.state for v in outcomes.by_id.values()] == states
    assert len(outcomes.anomalies) == 1


@pytest.mark.parametrize("fault", ["wrong_policy_id", "extra_target", "bad_types"])
def test_a_result_about_something_else_raises(
    sim: Sim, client: Any, fault: str
) -> None:
    sim.fault("BindDevicePolicy", fault)
    with pytest.raises(BadResponse) as caught:
        client.bind_device_policy(sim.known["policy"], "device", sim.known["free"][:2])
    assert caught.value.maybe_applied


def test_a_throttled_write_was_not_applied(sim: Sim, client: Any) -> None:
    sim.fault("FreezeDevice", "throttle")
    with pytest.raises(IotdaError) as caught:
        client.freeze_device(sim.known["offline"])
    assert (type(caught.value), caught.value.maybe_applied) == (Throttled, False)
    assert not any(e["applied"] for e in sim.journal())
