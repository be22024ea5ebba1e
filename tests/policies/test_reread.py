from typing import Any

from django.test import Client

from iotda_admin.operations.models import Target
from tests.cloud import Cloud

KEY = "0123456789abcdef0123456789abcdef"


def bind(client: Any, policy: Any, device: Any) -> Any:
    data = {
        "policy": policy,
        "target_type": "device",
        "target": device,
        "act": "bind",
        "reason": "r",
        "key": KEY,
    }
    client.post("/policies/selection.bind/", data)
    return Target.objects.get().state


def test_a_binding_made_elsewhere_is_read_before_a_bind(
    policyadmin: Client, inventory: Cloud
) -> None:
    policy, device = inventory.known_ids["policy"], inventory.free(1)[0]
    binding = {"policy_id": policy, "target_type": "device", "target_id": device}
    inventory.call("POST", "bindings", json=binding)
    assert bind(policyadmin, policy, device) == "already"


def test_a_binding_removed_elsewhere_is_dropped_before_a_bind(
    policyadmin: Client, inventory: Cloud
) -> None:
    policy = inventory.known_ids["policy"]
    device = min(inventory.bound(policy))
    binding = {"policy_id": policy, "target_type": "device", "target_id": device}
    inventory.call("DELETE", "bindings", params=binding)
    assert bind(policyadmin, policy, device) == "ok"
