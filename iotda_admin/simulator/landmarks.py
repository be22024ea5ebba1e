"""Ids that tests and demos can rely on, whatever the seed."""

from collections.abc import Callable
from typing import Any

from .demo_devices import STATUSES
from .demo_names import DEFAULT_POLICY
from .things import Device, Target
from .world import World

FREE = 10
FULL_AT = 5
SEARCHED = 200  # newest devices looked at


def landmarks(world: World) -> dict[str, Any]:
    """Of a fresh world: they stay as they are while it changes."""
    newest = world.device_records.items[: -SEARCHED - 1 : -1]

    def first(holds: Callable[[Device], bool]) -> str | None:
        return next((device.device_id for device in newest if holds(device)), None)

    def bound(device: Device) -> int:
        return len(world.bindings.on(Target("device", device.device_id)))

    def idle(status: str) -> str | None:
        return first(
            lambda d: (
                d.status == status
                and d.direct
                and not bound(d)
                and d.device_id not in parents
            )
        )

    parents = {device.gateway_id for device in newest if not device.direct}
    gateway = first(
        lambda device: device.device_id in parents and device.status == "ONLINE"
    )
    alone = {status.lower(): idle(status) for status in STATUSES}
    taken = parents | set(alone.values())
    free = [
        d.device_id
        for d in newest
        if d.direct and not bound(d) and d.device_id not in taken
    ]
    return {
        **alone,
        "gateway": gateway,
        "child": first(
            lambda device: not device.direct and device.gateway_id == gateway
        ),
        "full": first(lambda device: bound(device) == FULL_AT),
        "free": free[:FREE],
        "free_by_space": {
            app_id: _in_space(world, app_id, free) for app_id in world.spaces
        },
        **_of_spaces(world),
    }


def _in_space(world: World, app_id: str, device_ids: list[str]) -> list[str]:
    return [
        one for one in device_ids if world.devices[one].product.space.app_id == app_id
    ][:FREE]


def _of_spaces(world: World) -> dict[str, Any]:
    space = world.default_space()
    names = {
        p.policy_name: p.policy_id for p in world.policies.values() if p.space is space
    }
    products = [p.product_id for p in world.products.values() if p.space is space]
    return {
        "policy": names.get("quarantine"),  # bound to three devices
        "other_policy": names.get("telemetry_publish"),
        "default_policy": names.get(DEFAULT_POLICY),
        "space": space.app_id,
        "other_space": next(
            (s.app_id for s in world.spaces.values() if s is not space), None
        ),
        "product": products[1] if len(products) > 1 else None,
        "spaces": list(world.spaces),
        "project_id": world.config.project_id,
    }
