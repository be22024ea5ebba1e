"""What IoTDA keeps: resource spaces, products, devices, policies and bindings."""

from dataclasses import dataclass, field
from typing import Any

from .clock import basic


@dataclass(slots=True)
class Space:
    app_id: str
    app_name: str
    created: float
    default_app: bool = False


@dataclass(slots=True)
class Product:
    record: int
    product_id: str
    space: Space
    name: str
    device_type: str
    manufacturer_name: str
    industry: str
    created: float
    description: str = ""
    protocol_type: str = "MQTT"
    data_format: str = "json"
    service_capabilities: tuple[dict[str, Any], ...] = ()


@dataclass(slots=True)
class Device:
    record: int
    device_id: str
    node_id: str
    gateway_id: str
    device_name: str
    node_type: str
    status: str
    product: Product
    created: float
    active: float | None = None  # None: never connected
    seen: float | None = None  # when the connection status last changed
    fw_version: str = ""
    sw_version: str = ""
    device_sdk_version: str = ""
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    auth_type: str = "SECRET"

    before: str = ""  # the status it had until `seen`

    def become(self, status: str, now: float) -> None:
        self.before, self.status, self.seen = self.status, status, now

    @property
    def direct(self) -> bool:
        """Connected itself, not through a gateway; only such a device can be frozen."""
        return self.gateway_id == self.device_id


@dataclass(slots=True)
class Policy:
    record: int
    policy_id: str
    policy_name: str
    space: Space
    statement: list[dict[str, Any]]
    created: float
    updated: float

    def row(self) -> dict[str, Any]:
        return {
            "app_id": self.space.app_id,
            "policy_id": self.policy_id,
            "policy_name": self.policy_name,
            "create_time": basic(self.created),
            "update_time": basic(self.updated),
        }

    def whole(self) -> dict[str, Any]:
        return self.row() | {"statement": self.statement}


@dataclass(slots=True, frozen=True)
class Target:
    type: str
    id: str


@dataclass(slots=True)
class Binding:
    record: int
    policy_id: str
    target: Target
    at: float = field(default=0.0)

    def row(self) -> dict[str, Any]:
        return {"target_type": self.target.type, "target_id": self.target.id}
