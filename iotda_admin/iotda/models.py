"""What IoTDA's answers hold. Names are the API's; unknown keys are ignored; times stay text, as sent.

A key marked "required" raises BadAnswer when it is missing; the others default to "" (0, None, ()).
Strings come without NUL and lone surrogates, and otherwise as sent: escape them where they are shown.
"""

from dataclasses import dataclass
from typing import Self

from .fields import Json, flag, need, need_id, number, optional_rows, rows, section, strings, text

# Spelled as the API spells them.
ONLINE, OFFLINE, ABNORMAL, INACTIVE, FROZEN = "ONLINE", "OFFLINE", "ABNORMAL", "INACTIVE", "FROZEN"
TASK_FINISHED = frozenset({"Success", "Fail", "PartialSuccess", "Stopped"})


@dataclass(frozen=True, slots=True)
class Tag:
    tag_key: str
    tag_value: str

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(text(doc, "tag_key"), text(doc, "tag_value"))


@dataclass(frozen=True, slots=True)
class Device:
    """A device, without its credentials: those are dropped before anything is built from the answer.

    ListDevices leaves the last six fields empty; `marker` is filled by SearchDevices only.
    """

    device_id: str  # required
    status: str  # required; ONLINE OFFLINE ABNORMAL INACTIVE FROZEN, or one we do not know yet
    app_id: str = ""
    app_name: str = ""
    node_id: str = ""
    gateway_id: str = ""
    device_name: str = ""
    node_type: str = ""  # ENDPOINT GATEWAY UNKNOWN
    description: str = ""
    fw_version: str = ""
    sw_version: str = ""
    device_sdk_version: str = ""
    product_id: str = ""
    product_name: str = ""
    tags: tuple[Tag, ...] = ()
    create_time: str = ""  # 20260314T081500Z
    active_time: str = ""  # 2026-03-15T09:00:01.000Z; "" when it never connected
    connection_status_update_time: str = (
        ""  # as active_time; the platform's samples are not always well-formed
    )
    auth_type: str = ""  # SECRET CERTIFICATES
    secure_access: bool | None = None
    marker: str = ""

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        auth = section(doc, "auth_info")
        return cls(
            device_id=need_id(doc, "device_id"),
            status=need_id(doc, "status"),
            tags=optional_rows(doc, "tags", Tag.from_json),
            auth_type=text(auth, "auth_type"),
            secure_access=flag(auth, "secure_access"),
            **{name: text(doc, name) for name in _DEVICE_TEXTS},
        )

    @property
    def is_child(self) -> bool:
        """Behind a gateway: cannot be frozen (IOTDA.014038). Directly connected devices are their own
        gateway."""
        return bool(self.gateway_id) and self.gateway_id != self.device_id


# Those fields that are text, may be missing and have the same name in the answer.
_DEVICE_TEXTS = tuple(
    name
    for name, kind in Device.__annotations__.items()
    if kind is str and name not in ("device_id", "status", "auth_type")
)


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """A SearchDevices answer: rows, or a number when the statement asked for a count."""

    devices: tuple[Device, ...]
    count: int | None

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        if "devices" in doc:
            return cls(rows(doc, "devices", Device.from_json), None)
        return cls((), need(doc, "count", int))


@dataclass(frozen=True, slots=True)
class Product:
    product_id: str  # required
    name: str
    app_id: str
    app_name: str
    device_type: str
    protocol_type: str
    data_format: str
    manufacturer_name: str
    industry: str
    description: str
    create_time: str

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        texts = ("name", "app_id", "app_name", "device_type", "protocol_type", "data_format")
        more = ("manufacturer_name", "industry", "description", "create_time")
        return cls(need_id(doc, "product_id"), **{name: text(doc, name) for name in texts + more})


@dataclass(frozen=True, slots=True)
class Application:
    """A resource space."""

    app_id: str  # required
    app_name: str
    create_time: str
    default_app: bool

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(
            need_id(doc, "app_id"),
            text(doc, "app_name"),
            text(doc, "create_time"),
            bool(flag(doc, "default_app")),
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """One rule of a policy. `effect` ALLOW or DENY; `actions` iotda:devices:publish and :subscribe;
    `resources` 1 to 10 of ``topic:<filter>``."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(need(doc, "effect", str), strings(doc, "actions"), strings(doc, "resources"))

    def to_json(self) -> Json:
        return {"effect": self.effect, "actions": list(self.actions), "resources": list(self.resources)}


@dataclass(frozen=True, slots=True)
class DevicePolicy:
    policy_id: str  # required
    policy_name: str  # required
    app_id: str
    create_time: str
    update_time: str
    statement: tuple[Statement, ...]  # () in ListDevicePolicies, which leaves it out
    status: int = 0  # HTTP; 0 in a list row
    request_id: str = ""

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(
            policy_id=need_id(doc, "policy_id"),
            policy_name=need_id(doc, "policy_name"),
            app_id=text(doc, "app_id"),
            create_time=text(doc, "create_time"),
            update_time=text(doc, "update_time"),
            statement=optional_rows(doc, "statement", Statement.from_json),
        )


@dataclass(frozen=True, slots=True)
class PolicyTarget:
    target_type: str  # device product app
    target_id: str  # required

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(text(doc, "target_type"), need_id(doc, "target_id"))


@dataclass(frozen=True, slots=True)
class TaskProgress:
    total: int
    processing: int
    success: int
    fail: int
    waitting: int  # the API's spelling
    fail_wait_retry: int
    stopped: int
    removed: int

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(**{name: number(doc, name) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class BatchTask:
    """The platform's own task. The targets it echoes (up to 30,000) are not kept."""

    task_id: str  # required
    task_type: str  # required
    status: str  # required; Initializing Waitting Processing Success Fail PartialSuccess Stopped Stopping
    task_name: str
    status_desc: str  # why the whole task failed
    create_time: str
    progress: TaskProgress
    http_status: int = 0  # 0 in a list row
    request_id: str = ""

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(
            task_id=need_id(doc, "task_id"),
            task_type=need_id(doc, "task_type"),
            status=need_id(doc, "status"),
            task_name=text(doc, "task_name"),
            status_desc=text(doc, "status_desc"),
            create_time=text(doc, "create_time"),
            progress=TaskProgress.from_json(section(doc, "task_progress")),
        )

    @property
    def finished(self) -> bool:
        return self.status in TASK_FINISHED


@dataclass(frozen=True, slots=True)
class TaskDetail:
    """How one target of a batch task ended. `status` Waitting Processing Success Fail FailWaitRetry Stopped
    Removed."""

    target: str  # required
    status: str  # required
    output: str
    error_code: str
    error_msg: str

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        error = section(doc, "error")
        return cls(
            need_id(doc, "target"),
            need_id(doc, "status"),
            text(doc, "output"),
            text(error, "error_code"),
            text(error, "error_msg"),
        )


@dataclass(frozen=True, slots=True)
class Ack:
    """A write that was executed and has nothing more to say."""

    status: int  # HTTP
    request_id: str
