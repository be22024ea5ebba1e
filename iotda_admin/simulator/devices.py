"""ListDevices, ShowDevice, FreezeDevice, UnfreezeDevice."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

from .calls import Answer, Call
from .clock import basic, precise
from .errors import Refusal, invalid
from .filters import choice, moment, text
from .paging import Window, page
from .records import Records
from .things import Device
from .world import World

_DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def row(device: Device) -> dict[str, Any]:
    product = device.product
    return {
        "app_id": product.space.app_id,
        "app_name": product.space.app_name,
        "device_id": device.device_id,
        "node_id": device.node_id,
        "gateway_id": device.gateway_id,
        "device_name": device.device_name,
        "node_type": device.node_type,
        "description": device.description,
        "fw_version": device.fw_version,
        "sw_version": device.sw_version,
        "device_sdk_version": device.device_sdk_version,
        "product_id": product.product_id,
        "product_name": product.name,
        "status": device.status,
        "tags": [{"tag_key": key, "tag_value": value} for key, value in device.tags],
    }


def listed(world: World, now: float) -> Callable[[Device], dict[str, Any]]:
    """A row of a list, which may lag behind."""
    since = now - world.settings.stale_list_ms / 1000

    def lagging(device: Device) -> dict[str, Any]:
        late = device.before and device.seen and device.seen > since
        return row(device) | {"status": device.before} if late else row(device)

    return lagging if world.settings.stale_list_ms else row


def whole(world: World, device: Device) -> dict[str, Any]:
    return row(device) | {
        "auth_info": _auth_info(world, device),
        "create_time": basic(device.created),
        "connection_status_update_time": precise(device.seen) if device.seen else None,
        "active_time": precise(device.active) if device.active else None,
        "modules": [],
        "extension_info": {},
    }


def _auth_info(world: World, device: Device) -> dict[str, Any]:
    """With the secrets, in the clear: that is what the real one returns."""
    secret = hashlib.sha256(f"{world.seed}/{device.device_id}".encode()).hexdigest()
    certificate = device.auth_type == "CERTIFICATES"
    shown = (
        {"fingerprint": secret[:40]}
        if certificate
        else {"secret": secret[:32], "secondary_secret": secret[32:]}
    )
    return {"auth_type": device.auth_type, **shown, "secure_access": True, "timeout": 0}


def list_devices(world: World, call: Call) -> Answer:
    query = call.query
    records = _narrowest(world, query)
    wanted = _conditions(query)
    if wanted:
        records = Records(
            [
                device
                for device in records.items
                if all(holds(device) for holds in wanted)
            ]
        )
    return Answer(
        200,
        page(
            "devices",
            records,
            Window.read(query),
            listed(world, call.now),
            world.settings,
        ),
    )


def _narrowest(world: World, query: dict[str, str]) -> Records[Device]:
    app_id, product_id = text(query, "app_id", 36), text(query, "product_id", 36)
    gateway_id = text(query, "gateway_id", 128)
    cascade = choice(query, "is_cascade_query", ("true", "false")) == "true"
    if app_id:
        world.space(app_id)
    if gateway_id:
        return _children(world, gateway_id, cascade)
    if product_id:
        return world.by_product.get(product_id, Records())
    return world.by_space.get(app_id, Records()) if app_id else world.device_records


def _children(world: World, gateway_id: str, cascade: bool) -> Records[Device]:
    first = world.by_gateway.get(gateway_id, Records())
    if not cascade:
        return first
    deeper = [
        child
        for one in first.items
        for child in world.by_gateway.get(one.device_id, Records()).items
    ]
    return Records(sorted([*first.items, *deeper], key=lambda device: device.record))


def _conditions(query: dict[str, str]) -> list[Callable[[Device], bool]]:
    wanted: list[Callable[[Device], bool]] = []
    if product_id := query.get("product_id"):
        wanted.append(lambda device: device.product.product_id == product_id)
    if app_id := query.get("app_id"):
        wanted.append(lambda device: device.product.space.app_id == app_id)
    # assumed: both names must match exactly
    if node_id := text(query, "node_id", 64):
        wanted.append(lambda device: device.node_id == node_id)
    if device_name := text(query, "device_name", 256):
        wanted.append(lambda device: device.device_name == device_name)
    start, end = moment(query, "start_time"), moment(query, "end_time")
    if start is not None and end is not None and start >= end:
        raise Refusal(
            400, "IOTDA.000010", "Invalid input. start_time must be before end_time."
        )
    if start is not None:
        wanted.append(lambda device: device.created >= start)
    if end is not None:
        wanted.append(lambda device: device.created < end)
    # The index that was read already holds the only condition it stands for.
    alone = (
        len(wanted) == 1
        and not query.get("gateway_id")
        and (query.get("product_id") or query.get("app_id"))
    )
    return [] if alone else wanted


def _device(world: World, call: Call) -> Device:
    device_id = call.path["device_id"]
    if not _DEVICE_ID.fullmatch(device_id):
        raise invalid("device_id must have at most 128 letters, digits, _ or -.")
    return world.device(device_id)


def show_device(world: World, call: Call) -> Answer:
    return Answer(200, whole(world, _device(world, call)))


def freeze(world: World, device: Device, now: float) -> bool:
    """False if nothing changed. Shared with batch tasks, which refuse in the same words."""
    if not device.direct:
        raise Refusal(
            403,
            "IOTDA.014038",
            "Operation not allowed. A child device cannot be frozen or unfrozen.",
        )
    if device.status == "FROZEN":
        if world.settings.repeat_freeze == "ok":
            return False
        raise Refusal(
            403, "IOTDA.014039", "Operation not allowed. The device is already frozen."
        )
    device.become("FROZEN", now)
    return True


def unfreeze(world: World, device: Device, now: float) -> bool:
    if not device.direct:
        raise Refusal(
            403,
            "IOTDA.014038",
            "Operation not allowed. A child device cannot be frozen or unfrozen.",
        )
    if device.status != "FROZEN":
        if world.settings.repeat_unfreeze == "ok":
            return False
        raise Refusal(
            403, "IOTDA.014040", "Operation not allowed. The device is not frozen."
        )
    device.become(
        world.settings.after_unfreeze.upper() if device.active else "INACTIVE", now
    )
    return True


def freeze_device(world: World, call: Call) -> Answer:
    return _switch(world, call, freeze)


def unfreeze_device(world: World, call: Call) -> Answer:
    return _switch(world, call, unfreeze)


def _switch(
    world: World, call: Call, act: Callable[[World, Device, float], bool]
) -> Answer:
    device = _device(world, call)
    if act(world, device, call.now):
        call.entry.applied.append(device.device_id)
    return Answer(204)
