"""IDs that tests and demos use, whatever the seed."""

from collections.abc import Iterable
from typing import Any

from ..state.models import Device, Target
from ..state.store import State
from .devices import STATUSES
from .names import DEFAULT_POLICY

FREE = 10
FULL_COUNT = 5
SEARCHED = 200


def known_ids(state: State) -> dict[str, Any]:
    """Return IDs of a new state. They do not follow later changes."""
    newest = state.device_list.items[: -SEARCHED - 1 : -1]
    children = [device for device in newest if not device.directly_connected]
    gateway_ids = {device.gateway_id for device in children}
    unbound = [
        device
        for device in newest
        if device.directly_connected
        and not _policy_count(state, device)
        and device.device_id not in gateway_ids
    ]
    by_status = {
        status.lower(): _first(device for device in unbound if device.status == status)
        for status in STATUSES
    }
    gateway = _first(
        device
        for device in newest
        if device.device_id in gateway_ids and device.status == "ONLINE"
    )
    full = (one for one in newest if _policy_count(state, one) == FULL_COUNT)
    full = (one for one in full if one.product.space is state.default_space())
    return {
        **by_status,
        "gateway": gateway,
        "child": _first(child for child in children if child.gateway_id == gateway),
        "full": _first(full),
        **_free(state, [d for d in unbound if d.device_id not in by_status.values()]),
        **_of_spaces(state),
    }


def _policy_count(state: State, device: Device) -> int:
    return len(state.bindings.of_target(Target("device", device.device_id)))


def _first(devices: Iterable[Device]) -> str | None:
    return next((device.device_id for device in devices), None)


def _free(state: State, devices: list[Device]) -> dict[str, Any]:
    by_space: dict[str, list[str]] = {app_id: [] for app_id in state.spaces}
    for device in devices:
        by_space[device.product.space.app_id].append(device.device_id)
    own = by_space[state.default_space().app_id]
    others = [d.device_id for d in devices if d.device_id not in own]
    return {
        # Those of the policies' space come first.
        "free": [*own, *others][:FREE],
        "free_by_space": {app_id: ids[:FREE] for app_id, ids in by_space.items()},
    }


def _of_spaces(state: State) -> dict[str, Any]:
    space = state.default_space()
    policies = {
        p.policy_name: p.policy_id for p in state.policies.values() if p.space is space
    }
    products = [p.product_id for p in state.products.values() if p.space is space]
    return {
        "policy": policies.get("quarantine"),  # bound to three devices
        "other_policy": policies.get("telemetry_publish"),
        "default_policy": policies.get(DEFAULT_POLICY),
        "space": space.app_id,
        "other_space": next(
            (s.app_id for s in state.spaces.values() if s is not space), None
        ),
        "product": products[1] if len(products) > 1 else None,
        "spaces": list(state.spaces),
        "project_id": state.config.project_id,
    }
