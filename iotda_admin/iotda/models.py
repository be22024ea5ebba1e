"""What IoTDA's answers hold. Names are the API's; unknown keys are ignored; times stay text, as sent.

A key marked "required" raises BadResponse when it is missing; the others default to "" (0, None, ()).
Strings come without NUL and lone surrogates, and otherwise as sent: escape them where they are shown.
"""

from dataclasses import dataclass
from typing import Self

from .fields import Json, flag, need_id, optional_rows, section, text

# Spelled as the API spells them.
ONLINE, OFFLINE, ABNORMAL, INACTIVE, FROZEN = (
    "ONLINE",
    "OFFLINE",
    "ABNORMAL",
    "INACTIVE",
    "FROZEN",
)


@dataclass(frozen=True, slots=True)
class Tag:
    tag_key: str
    tag_value: str

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(text(doc, "tag_key"), text(doc, "tag_value"))


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device, without its credentials: those are dropped before anything is built from the answer.

    ListDevices leaves the last five fields empty.
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
    for name, kind in DeviceInfo.__annotations__.items()
    if kind is str and name not in ("device_id", "status", "auth_type")
)


@dataclass(frozen=True, slots=True)
class ProductInfo:
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
        texts = (
            "name",
            "app_id",
            "app_name",
            "device_type",
            "protocol_type",
            "data_format",
        )
        more = ("manufacturer_name", "industry", "description", "create_time")
        return cls(
            need_id(doc, "product_id"),
            **{name: text(doc, name) for name in texts + more},
        )


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
class Ack:
    """A write that was executed and has nothing more to say."""

    status: int  # HTTP
    request_id: str
