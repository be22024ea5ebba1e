"""Every call of the API that is played, by its name at IoTDA."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from . import batchtasks, devices, iam, inventory, policies, targets
from .calls import Answer, Call
from .world import World

type Handler = Callable[[World, Call], Answer]


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    handler: Handler
    iam: bool = False


def _at(name: str, handler: Handler) -> Operation:
    return Operation(name, handler)


# Below /v5/iot/{project_id}/. Names and ids alternate, so an id is always every second part.
ROUTES: dict[tuple[str, str], Operation] = {
    ("GET", "devices"): _at("ListDevices", devices.list_devices),
    ("GET", "devices/{device_id}"): _at("ShowDevice", devices.show_device),
    ("POST", "devices/{device_id}/freeze"): _at("FreezeDevice", devices.freeze_device),
    ("POST", "devices/{device_id}/unfreeze"): _at(
        "UnfreezeDevice", devices.unfreeze_device
    ),
    ("GET", "products"): _at("ListProducts", inventory.list_products),
    ("GET", "products/{product_id}"): _at("ShowProduct", inventory.show_product),
    ("GET", "apps"): _at("ShowApplications", inventory.show_applications),
    ("GET", "apps/{app_id}"): _at("ShowApplication", inventory.show_application),
    ("POST", "device-policies"): _at(
        "CreateDevicePolicy", policies.create_device_policy
    ),
    ("GET", "device-policies"): _at(
        "ListDevicePolicies", policies.list_device_policies
    ),
    ("GET", "device-policies/{policy_id}"): _at(
        "ShowDevicePolicy", policies.show_device_policy
    ),
    ("PUT", "device-policies/{policy_id}"): _at(
        "UpdateDevicePolicy", policies.update_device_policy
    ),
    ("DELETE", "device-policies/{policy_id}"): _at(
        "DeleteDevicePolicy", policies.delete_device_policy
    ),
    ("POST", "device-policies/{policy_id}/bind"): _at(
        "BindDevicePolicy", targets.bind_device_policy
    ),
    ("POST", "device-policies/{policy_id}/unbind"): _at(
        "UnbindDevicePolicy", targets.unbind_device_policy
    ),
    ("POST", "device-policies/{policy_id}/list-targets"): _at(
        "ShowTargetsInDevicePolicy", targets.show_targets_in_device_policy
    ),
    ("POST", "batchtasks"): _at("CreateBatchTask", batchtasks.create_batch_task),
    ("GET", "batchtasks"): _at("ListBatchTasks", batchtasks.list_batch_tasks),
    ("GET", "batchtasks/{task_id}"): _at("ShowBatchTask", batchtasks.show_batch_task),
    ("DELETE", "batchtasks/{task_id}"): _at(
        "DeleteBatchTask", batchtasks.delete_batch_task
    ),
    ("POST", "batchtasks/{task_id}/retry"): _at(
        "RetryBatchTask", batchtasks.refuse_batch_task
    ),
    ("POST", "batchtasks/{task_id}/stop"): _at(
        "StopBatchTask", batchtasks.refuse_batch_task
    ),
}

IAM_ROUTES = {
    ("POST", "/v3/auth/tokens"): Operation(
        "KeystoneCreateUserTokenByPassword", iam.create_token, iam=True
    ),
    ("GET", "/v3/projects"): Operation(
        "KeystoneListProjects", iam.list_projects, iam=True
    ),
}

_IDS = {"devices": "device_id", "products": "product_id", "apps": "app_id"}
_IDS |= {"device-policies": "policy_id", "batchtasks": "task_id"}


def find(method: str, raw_path: str) -> tuple[Operation | None, dict[str, str]]:
    """On the raw path: an id may hold an encoded slash."""
    if operation := IAM_ROUTES.get((method, raw_path)):
        return operation, {}
    parts = raw_path.split("/")
    if len(parts) < 5 or parts[:3] != ["", "v5", "iot"]:
        return None, {}
    ids = {"project_id": unquote(parts[3])}
    names = parts[4:]
    if operation := ROUTES.get((method, "/".join(names))):
        return operation, ids
    if len(names) > 1 and names[1] and (id_name := _IDS.get(names[0])):
        ids[id_name] = unquote(names[1])
        names[1] = f"{{{id_name}}}"
    return ROUTES.get((method, "/".join(names))), ids
