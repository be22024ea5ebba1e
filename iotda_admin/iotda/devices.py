"""Devices, products and resource spaces: their endpoints and what these return.

A field marked "required" raises BadResponse if it is missing; the others default to "".
"""

from dataclasses import dataclass
from typing import Self

from .arguments import checked
from .base import Ack, BaseClient
from .documents import Json, get_rows, get_text, need_rows, need_text
from .listing import FIRST_PAGE, ListingPage, PageQuery
from .responses import Endpoint

NO_CONTENT = frozenset({204})


@dataclass(frozen=True, slots=True)
class Tag:
    tag_key: str
    tag_value: str

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(get_text(doc, "tag_key"), get_text(doc, "tag_value"))


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device without its credentials, which the parser drops."""

    device_id: str  # required
    status: str  # required; ONLINE OFFLINE ABNORMAL INACTIVE FROZEN, or a new one
    app_id: str = ""
    app_name: str = ""
    node_id: str = ""
    gateway_id: str = ""
    device_name: str = ""
    node_type: str = ""  # ENDPOINT GATEWAY UNKNOWN
    description: str = ""
    fw_version: str = ""
    sw_version: str = ""
    product_id: str = ""
    product_name: str = ""
    tags: tuple[Tag, ...] = ()

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(
            device_id=need_text(doc, "device_id"),
            status=need_text(doc, "status"),
            tags=get_rows(doc, "tags", Tag.from_json),
            **{name: get_text(doc, name) for name in _DEVICE_TEXTS},
        )

    @property
    def is_child(self) -> bool:
        """The device is behind a gateway, so it cannot be frozen (IOTDA.014038).

        A directly connected device is its own gateway.
        """
        return self.gateway_id not in ("", self.device_id)


# The optional text fields.
_DEVICE_TEXTS = tuple(
    name
    for name, kind in DeviceInfo.__annotations__.items()
    if kind is str and name not in ("device_id", "status")
)


@dataclass(frozen=True, slots=True)
class ProductInfo:
    product_id: str  # required
    name: str
    app_id: str
    app_name: str
    device_type: str
    protocol_type: str
    manufacturer_name: str

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        optional = [name for name in cls.__slots__ if name != "product_id"]
        return cls(
            need_text(doc, "product_id"),
            **{name: get_text(doc, name) for name in optional},
        )


@dataclass(frozen=True, slots=True)
class Application:
    """A resource space."""

    app_id: str  # required
    app_name: str
    default_app: bool

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        default = doc.get("default_app") is True
        return cls(need_text(doc, "app_id"), get_text(doc, "app_name"), default)


class DeviceCalls(BaseClient):
    def list_devices(self, page: PageQuery = FIRST_PAGE) -> ListingPage[DeviceInfo]:
        """Return one page of devices, newest registration first.

        The API cannot filter by status.
        """
        build = DeviceInfo.from_json
        return self._page("ListDevices", "/devices", page, "devices", build)

    def show_device(self, device_id: str) -> DeviceInfo:
        """Return one device, without the credentials that IoTDA sends.

        Raises Rejected with `not_found` (IOTDA.014000) if it does not exist.
        """
        path = _device_path(device_id)
        return self._call(Endpoint("ShowDevice"), "GET", path, DeviceInfo.from_json)[0]

    def freeze_device(self, device_id: str) -> Ack:
        """Prevent a directly connected device from connecting.

        Raises Rejected with IOTDA.014038 for a child device, and with IOTDA.014039 for
        a frozen one (assumed: Huawei's page of that code could not be read). 204 is the
        one documented success; another 2xx raises BadResponse: read the device back.
        """
        return self._switch("FreezeDevice", f"{_device_path(device_id)}/freeze")

    def unfreeze_device(self, device_id: str) -> Ack:
        """Allow a device to connect again; the success is as in `freeze_device`.

        Raises Rejected with IOTDA.014040 if the device is not frozen.
        """
        return self._switch("UnfreezeDevice", f"{_device_path(device_id)}/unfreeze")

    def _switch(self, name: str, path: str) -> Ack:
        endpoint = Endpoint(name, write=True, done=NO_CONTENT, bodiless=True)
        return self._acknowledged(endpoint, "POST", path)

    def delete_device(self, device_id: str) -> Ack:
        """Delete a device for good. The success is 204.

        Raises Rejected with `not_found` if it does not exist, and with IOTDA.014024 for
        a gateway that has child devices.
        """
        endpoint = Endpoint("DeleteDevice", write=True, done=NO_CONTENT, bodiless=True)
        return self._acknowledged(endpoint, "DELETE", _device_path(device_id))

    def list_products(self, page: PageQuery = FIRST_PAGE) -> ListingPage[ProductInfo]:
        """Return one page of the products (at most 1,000 per instance)."""
        build = ProductInfo.from_json
        return self._page("ListProducts", "/products", page, "products", build)

    def show_applications(self) -> tuple[Application, ...]:
        """Return all resource spaces (at most 10 per instance). Not paged."""

        def build(doc: Json) -> tuple[Application, ...]:
            return need_rows(doc, "applications", Application.from_json)

        return self._call(Endpoint("ShowApplications"), "GET", "/apps", build)[0]


def _device_path(device_id: str) -> str:
    return f"/devices/{checked(device_id, 'device id')}"
