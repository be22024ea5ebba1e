"""Devices behind the product's back: what another console, or a device itself, would do."""

import time
from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict

from .devices import whole
from .registration import register
from .simulator import Simulator
from .things import Device, Target
from .world import World

Status = Literal["ONLINE", "OFFLINE", "ABNORMAL", "INACTIVE", "FROZEN"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DeviceChange(Strict):
    status: Status | None = None
    device_name: str | None = None
    description: str | None = None
    product_id: str | None = None
    tags: list[tuple[str, str]] | None = None


class NewDevice(Strict):
    product_id: str
    node_id: str
    device_id: str | None = None
    device_name: str | None = None
    gateway_id: str | None = None
    status: Status = "INACTIVE"


def device_routes(simulator: Simulator) -> APIRouter:
    router = APIRouter(prefix="/_sim")

    @router.get("/devices/{device_id}")
    async def show_device(device_id: str) -> dict[str, Any]:
        return _device_shown(simulator.world, _device(simulator.world, device_id))

    @router.post("/devices", status_code=201)
    async def add_device(new: NewDevice) -> dict[str, Any]:
        return _device_shown(simulator.world, _register(simulator.world, new))

    @router.patch("/devices/{device_id}")
    async def change_device(device_id: str, change: DeviceChange) -> dict[str, Any]:
        world = simulator.world
        device = _device(world, device_id)
        _change_device(world, device, change)
        return _device_shown(world, device)

    @router.delete("/devices/{device_id}", status_code=204)
    async def delete_device(device_id: str) -> None:
        simulator.world.remove_device(_device(simulator.world, device_id))

    return router


def missing(what: str) -> Any:
    raise HTTPException(404, f"There is no such {what}.")


def _device(world: World, device_id: str) -> Device:
    return world.devices.get(device_id) or missing("device")


def _device_shown(world: World, device: Device) -> dict[str, Any]:
    policies = list(world.bindings.on(Target("device", device.device_id)))
    shown = {
        name: value
        for name, value in whole(world, device).items()
        if name != "auth_info"
    }
    return shown | {"policy_ids": policies}


def _register(world: World, new: NewDevice) -> Device:
    product = world.products.get(new.product_id) or missing("product")
    if (new.device_id or f"{new.product_id}_{new.node_id}") in world.devices:
        raise HTTPException(409, "There is such a device already.")
    return register(world, product, **new.model_dump(exclude={"product_id"}))


def _change_device(world: World, device: Device, change: DeviceChange) -> None:
    product = world.products.get(
        change.product_id or device.product.product_id
    ) or missing("product")
    if product is not device.product:
        bound = list(world.bindings.on(Target("device", device.device_id)))
        world.remove_device(device)
        device.product = product
        world.add_device(device)
        for policy_id in bound:
            world.bindings.add(
                policy_id, Target("device", device.device_id), time.time()
            )
    for name, value in change.model_dump(
        exclude_none=True, exclude={"product_id", "status", "tags"}
    ).items():
        setattr(device, name, value)
    if change.tags is not None:
        device.tags = tuple(change.tags)
    if change.status:
        device.become(change.status, world.now())
        device.active = device.active or (
            None if change.status == "INACTIVE" else device.seen
        )
