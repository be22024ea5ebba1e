"""Changes devices, as another console or a device itself would."""

import time
from dataclasses import dataclass
from typing import Any

from ..api.devices import device_details
from ..app import Simulator
from ..schema import NoExtraKeys
from ..server import Request, Response
from ..state.models import Device, NewDevice, Product, Status, Target
from ..state.store import State
from .routers import ControlError, control, not_found


@dataclass
class DeviceChange(NoExtraKeys):
    status: Status | None = None
    device_name: str | None = None
    description: str | None = None
    product_id: str | None = None
    tags: list[tuple[str, str]] | None = None


def _device(simulator: Simulator, request: Request) -> Device:
    return simulator.state.devices.get(request.path_params["device_id"]) or not_found(
        "device"
    )


def _with_policies(state: State, device: Device) -> dict[str, Any]:
    policies = list(state.bindings.of_target(Target("device", device.device_id)))
    return device_details(device) | {"policy_ids": policies}


@control.route("GET", "/devices/{device_id}")
def show_device_record(simulator: Simulator, request: Request) -> Response:
    return Response(200, _with_policies(simulator.state, _device(simulator, request)))


@control.route("POST", "/devices")
def register_device(simulator: Simulator, request: Request) -> Response:
    new, state = request.read(NewDevice), simulator.state
    if new.product_id not in state.products:
        not_found("product")
    if (new.device_id or f"{new.product_id}_{new.node_id}") in state.devices:
        raise ControlError(409, "The device exists already.")
    return Response(201, _with_policies(state, state.register_device(new)))


@control.route("PATCH", "/devices/{device_id}")
def change_device(simulator: Simulator, request: Request) -> Response:
    device, state = _device(simulator, request), simulator.state
    change = request.read(DeviceChange)
    if change.product_id is not None:
        _move(
            state, device, state.products.get(change.product_id) or not_found("product")
        )
    if change.device_name is not None:
        device.device_name = change.device_name
    if change.description is not None:
        device.description = change.description
    if change.tags is not None:
        device.tags = tuple(change.tags)
    if change.status:
        device.set_status(change.status, state.now())
        if change.status != "INACTIVE":
            device.first_connected = device.first_connected or device.status_changed
    return Response(200, _with_policies(state, device))


def _move(state: State, device: Device, product: Product) -> None:
    """Move a device with its policies to another product."""
    target = Target("device", device.device_id)
    policy_ids = list(state.bindings.of_target(target))
    state.remove_device(device)
    device.product = product
    state.add_device(device)
    for policy_id in policy_ids:
        state.bindings.add(policy_id, target, time.time())


@control.route("DELETE", "/devices/{device_id}")
def remove_device(simulator: Simulator, request: Request) -> Response:
    simulator.state.remove_device(_device(simulator, request))
    return Response(204)
