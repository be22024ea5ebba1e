"""What IoTDA stores."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from ..schema import NoExtraKeys
from .records import RecordList, marker

Status = Literal["ONLINE", "OFFLINE", "ABNORMAL", "INACTIVE", "FROZEN"]

FINISHED = ("Success", "Fail", "PartialSuccess", "Stopped")


@dataclass(slots=True)
class ResourceSpace:
    app_id: str
    app_name: str
    created: float
    default_app: bool = False


@dataclass(slots=True)
class Product:
    record_id: int
    product_id: str
    space: ResourceSpace
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
    record_id: int
    device_id: str
    node_id: str
    gateway_id: str
    device_name: str
    node_type: str
    status: str
    product: Product
    created: float
    first_connected: float | None = None
    status_changed: float | None = None
    fw_version: str = ""
    sw_version: str = ""
    device_sdk_version: str = ""
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    auth_type: str = "SECRET"
    previous_status: str = ""  # until `status_changed`

    def set_status(self, status: str, now: float) -> None:
        self.previous_status, self.status, self.status_changed = (
            self.status,
            status,
            now,
        )

    @property
    def directly_connected(self) -> bool:
        """Not behind a gateway. Only such a device can be frozen."""
        return self.gateway_id == self.device_id


@dataclass(slots=True)
class NewDevice(NoExtraKeys):
    """A device to register."""

    product_id: str
    node_id: str
    device_id: str | None = None
    device_name: str | None = None
    gateway_id: str | None = None
    status: Status = "INACTIVE"


@dataclass(slots=True)
class Policy:
    record_id: int
    policy_id: str
    policy_name: str
    space: ResourceSpace
    statement: list[dict[str, Any]]
    created: float
    updated: float


@dataclass(slots=True, frozen=True)
class Target:
    """A device, a product or a resource space ("app") that can have policies."""

    type: str
    id: str


@dataclass(slots=True)
class Binding:
    record_id: int
    policy_id: str
    target: Target
    created: float


@dataclass(slots=True)
class TaskDetail:
    """One device of a batch task."""

    record_id: int
    target: str
    status: str = "Waitting"  # spelled as IoTDA spells it
    error: dict[str, str] | None = None


@dataclass
class BatchTask:
    record_id: int
    name: str
    type: str
    space: ResourceSpace | None  # None: devices of any space
    details: RecordList[TaskDetail]
    repeated: dict[str, Any]  # the parts of the request that answers repeat
    created: float
    starts: float
    request_id: str
    status: str = "Initializing"
    status_desc: str = ""
    done: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # details by status

    @property
    def task_id(self) -> str:
        return marker(self.record_id)

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    def set_detail_status(self, detail: TaskDetail, status: str) -> None:
        self.counts[detail.status] -= 1
        self.counts[status] += 1
        detail.status = status
