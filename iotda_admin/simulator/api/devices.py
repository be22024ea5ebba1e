"""The endpoints of devices."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

from ..server import Request, Response
from ..state.clock import format_basic, format_precise
from ..state.models import Device
from ..state.records import RecordList
from ..state.store import State
from .applications import read_app_id
from .errors import ApiError, invalid_input, unknown_device
from .filters import read_choice, read_text, read_time
from .paging import Window, page
from .routers import iotda

_DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def device_row(device: Device) -> dict[str, Any]:
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


def device_details(device: Device) -> dict[str, Any]:
    times = {
        "connection_status_update_time": device.status_changed,
        "active_time": device.first_connected,
    }
    return device_row(device) | {
        "create_time": format_basic(device.created),
        **{name: format_precise(time) for name, time in times.items() if time},
        "modules": [],
        "extension_info": {},
    }


def _auth_info(state: State, device: Device) -> dict[str, Any]:
    """The secrets in clear text, as the real IoTDA returns them."""
    secret = hashlib.sha256(f"{state.seed}/{device.device_id}".encode()).hexdigest()
    if device.auth_type == "CERTIFICATES":
        credentials = {"fingerprint": secret[:40]}
    else:
        credentials = {"secret": secret[:32], "secondary_secret": secret[32:]}
    return {
        "auth_type": device.auth_type,
        **credentials,
        "secure_access": True,
        "timeout": 0,
    }


def find_device(state: State, device_id: str) -> Device:
    try:
        return state.devices[device_id]
    except KeyError:
        raise unknown_device() from None


def _requested_device(state: State, request: Request) -> Device:
    device_id = request.path_params["device_id"]
    if not _DEVICE_ID.fullmatch(device_id):
        raise invalid_input("device_id must have at most 128 letters, digits, _ or -.")
    return find_device(state, device_id)


@iotda.route("GET", "/devices")
def list_devices(state: State, request: Request) -> Response:
    devices, conditions = _smallest_index(state, request), _conditions(request.query)
    if conditions:
        devices = RecordList(
            [one for one in devices.items if all(holds(one) for holds in conditions)]
        )
    window, row = Window.read(request.query), _row_in_list(state, request.now)
    return Response(200, page("devices", devices, window, row, state.settings))


def _row_in_list(state: State, now: float) -> Callable[[Device], dict[str, Any]]:
    """Return the function that builds a row, which may show a change of status late."""
    since = now - state.settings.stale_list_ms / 1000

    def stale_row(device: Device) -> dict[str, Any]:
        late = (
            device.previous_status
            and device.status_changed
            and device.status_changed > since
        )
        return device_row(device) | ({"status": device.previous_status} if late else {})

    return stale_row if state.settings.stale_list_ms else device_row


def _smallest_index(state: State, request: Request) -> RecordList[Device]:
    query = request.query
    app_id, product_id = read_app_id(state, request), read_text(query, "product_id", 36)
    gateway_id = read_text(query, "gateway_id", 128)
    cascade = read_choice(query, "is_cascade_query", ("true", "false")) == "true"
    if gateway_id:
        return _children(state, gateway_id, cascade)
    if product_id:
        return state.devices_by_product.get(product_id, RecordList())
    return (
        state.devices_by_space.get(app_id, RecordList())
        if app_id
        else state.device_list
    )


def _children(state: State, gateway_id: str, cascade: bool) -> RecordList[Device]:
    children = state.children.get(gateway_id, RecordList())
    if not cascade:
        return children
    grandchildren = [
        grandchild
        for child in children.items
        for grandchild in state.children.get(child.device_id, RecordList()).items
    ]
    return RecordList(
        sorted([*children.items, *grandchildren], key=lambda device: device.record_id)
    )


def _conditions(query: dict[str, str]) -> list[Callable[[Device], bool]]:
    conditions: list[Callable[[Device], bool]] = []
    if product_id := query.get("product_id"):
        conditions.append(lambda device: device.product.product_id == product_id)
    if app_id := query.get("app_id"):
        conditions.append(lambda device: device.product.space.app_id == app_id)
    # assumed: both names must match exactly
    if node_id := read_text(query, "node_id", 64):
        conditions.append(lambda device: device.node_id == node_id)
    if device_name := read_text(query, "device_name", 256):
        conditions.append(lambda device: device.device_name == device_name)
    start, end = read_time(query, "start_time"), read_time(query, "end_time")
    if start is not None and end is not None and start >= end:
        raise ApiError(
            400, "IOTDA.000010", "Invalid input. start_time must be before end_time."
        )
    if start is not None:
        conditions.append(lambda device: device.created >= start)
    if end is not None:
        conditions.append(lambda device: device.created < end)
    # An index of products or spaces already satisfies the only condition, its own.
    indexed = not query.get("gateway_id") and (product_id or app_id)
    return [] if indexed and len(conditions) == 1 else conditions


@iotda.route("GET", "/devices/{device_id}")
def show_device(state: State, request: Request) -> Response:
    device = _requested_device(state, request)
    return Response(
        200, device_details(device) | {"auth_info": _auth_info(state, device)}
    )


@iotda.route("POST", "/devices/{device_id}/freeze")
def freeze_device(state: State, request: Request) -> Response:
    device = _requested_device(state, request)
    if freeze(state, device, request.now):
        request.entry.applied.append(device.device_id)
    return Response(204)


@iotda.route("POST", "/devices/{device_id}/unfreeze")
def unfreeze_device(state: State, request: Request) -> Response:
    device = _requested_device(state, request)
    if unfreeze(state, device, request.now):
        request.entry.applied.append(device.device_id)
    return Response(204)


def freeze(state: State, device: Device, now: float) -> bool:
    """Freeze a device, also for a batch task. False if nothing changed.

    Children of a gateway keep their status: INACTIVE ones did in the acceptance tests
    of Terraform's provider.
    """
    _require_direct_connection(device)
    if device.status == "FROZEN":
        if state.settings.repeat_freeze == "ok":
            return False
        raise ApiError(
            403, "IOTDA.014039", "Operation not allowed. The device is already frozen."
        )
    device.set_status("FROZEN", now)
    return True


def unfreeze(state: State, device: Device, now: float) -> bool:
    """Unfreeze a device, also for a batch task. False if nothing changed."""
    _require_direct_connection(device)
    if device.status != "FROZEN":
        if state.settings.repeat_unfreeze == "ok":
            return False
        raise ApiError(
            403, "IOTDA.014040", "The device is not frozen, can not unfreeze."
        )
    connected = device.first_connected is not None
    device.set_status(
        state.settings.after_unfreeze.upper() if connected else "INACTIVE", now
    )
    return True


def _require_direct_connection(device: Device) -> None:
    if not device.directly_connected:
        message = (
            "It is not allowed to freeze sub-devices, "
            "only gateways or directly connected devices can be frozen."
        )
        raise ApiError(403, "IOTDA.014038", message)


@iotda.route("DELETE", "/devices/{device_id}")
def delete_device(state: State, request: Request) -> Response:
    device = _requested_device(state, request)
    if state.children.get(device.device_id, RecordList()).items:
        raise ApiError(403, "IOTDA.014024", "The gateway has child devices.")
    state.remove_device(device)
    request.entry.applied.append(device.device_id)
    return Response(204)
