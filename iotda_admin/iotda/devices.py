"""Devices, products and resource spaces: their endpoints and what these return.

A missing field without a default raises BadResponse.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from .arguments import checked
from .base import BaseClient
from .documents import (
    FromJson,
    Json,
    Malformed,
    about,
    get_objects,
    get_texts,
    need_rows,
    need_text,
    text_of,
)
from .listing import FIRST_PAGE, ListingPage, PageQuery
from .responses import Endpoint
from .transport import Response

_STATUS = re.compile("[A-Z_]+")


@dataclass(frozen=True, slots=True)
class Tag(FromJson):
    tag_key: str = ""
    tag_value: str = ""

    @classmethod
    def from_other(cls, value: Any) -> Self:
        return cls(tag_value=text_of(value))


@dataclass(frozen=True, slots=True)
class DeviceInfo(FromJson):
    """A device without its credentials, which the parser drops."""

    device_id: str
    status: str = ""  # ONLINE OFFLINE ABNORMAL INACTIVE FROZEN, or a new one
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
    create_time: str = ""
    active_time: str = ""
    connection_status_update_time: str = ""
    tags: tuple[Tag, ...] = ()

    @property
    def has_status(self) -> bool:
        """The status is one, or a new one, so that it can be decided by."""
        return is_status(self.status)

    @property
    def is_child(self) -> bool:
        """The device is behind a gateway, so it cannot be frozen (IOTDA.014038).

        A directly connected device is its own gateway.
        """
        return self.gateway_id not in ("", self.device_id)


@dataclass(frozen=True, slots=True)
class ProductInfo(FromJson):
    product_id: str
    name: str = ""
    app_id: str = ""
    app_name: str = ""
    device_type: str = ""
    protocol_type: str = ""
    manufacturer_name: str = ""


@dataclass(frozen=True, slots=True)
class Application(FromJson):
    """A resource space."""

    app_id: str
    app_name: str = ""
    default_app: bool = False


def is_status(text: str) -> bool:
    return _STATUS.fullmatch(text) is not None


def device_from_json(document: Json) -> DeviceInfo:
    need_status(document)
    return DeviceInfo.from_json(document)


def need_status(document: Json) -> None:
    """Raise Malformed without a status: such an answer says nothing about a device."""
    if document.get("status") is None:
        raise Malformed("status is missing")


# The texts of a row of ListDevices, as DeviceValues has them.
LISTED_TEXTS = (
    "device_id",
    "node_id",
    "status",
    "node_type",
    "gateway_id",
    "product_id",
    "product_name",
    "app_id",
    "app_name",
    "fw_version",
    "sw_version",
    "description",
    "device_name",
)
TAG_TEXTS = ("tag_key", "tag_value")
# The listed texts, and then the tags as pairs.
type DeviceValues = tuple[str | list[list[str]], ...]


def device_values(document: Json) -> DeviceValues:
    """Return values of a device, read as for DeviceInfo, in a fifth of its time."""
    need_status(document)
    texts = get_texts(document, LISTED_TEXTS)
    if not texts[0] or texts[0] != document["device_id"]:
        need_text(document, "device_id")
    return (*texts, tag_pairs(document))


def tag_pairs(document: Json) -> list[list[str]]:
    tags = document.get("tags")
    if isinstance(tags, list) and all(isinstance(tag, dict) for tag in tags):
        return [get_texts(tag, TAG_TEXTS) for tag in tags]
    return [[tag.tag_key, tag.tag_value] for tag in get_objects(document, "tags", Tag)]


class DeviceCalls(BaseClient):
    def list_devices(self, page: PageQuery = FIRST_PAGE) -> ListingPage[DeviceInfo]:
        """Return one page of devices, newest registration first.

        The API cannot filter by status.
        """
        build = device_from_json
        return self._page("ListDevices", "/devices", page, "devices", build)

    def list_device_values(
        self, page: PageQuery = FIRST_PAGE
    ) -> ListingPage[DeviceValues]:
        """Return the same page with only the values of the devices: it takes less time."""
        build = device_values
        return self._page("ListDevices", "/devices", page, "devices", build)

    def show_device(self, device_id: str) -> DeviceInfo:
        """Return one device, without the credentials that IoTDA sends.

        Raises Rejected with `not_found` (IOTDA.014000) if it does not exist, and
        BadResponse if the answer is about another device.
        """
        build = about(device_from_json, device_id=device_id)
        path = _device_path(device_id)
        return self._call(Endpoint("ShowDevice"), "GET", path, build)[0]

    def freeze_device(self, device_id: str) -> Response:
        """Prevent a directly connected device from connecting.

        Raises Rejected with IOTDA.014038 for a child device, and with IOTDA.014039 for
        a frozen one (assumed: Huawei's page of that code could not be read). 204 is the
        one documented success; another 2xx raises BadResponse: read the device back.
        """
        path = f"{_device_path(device_id)}/freeze"
        return self._acknowledged("FreezeDevice", "POST", path)

    def unfreeze_device(self, device_id: str) -> Response:
        """Allow a device to connect again; the success is as in `freeze_device`.

        Raises Rejected with IOTDA.014040 if the device is not frozen.
        """
        path = f"{_device_path(device_id)}/unfreeze"
        return self._acknowledged("UnfreezeDevice", "POST", path)

    def delete_device(self, device_id: str) -> Response:
        """Delete a device for good. The success is 204.

        Raises Rejected with `not_found` if it does not exist, and with IOTDA.014024 for
        a gateway that has child devices.
        """
        return self._acknowledged("DeleteDevice", "DELETE", _device_path(device_id))

    def list_products(self, page: PageQuery = FIRST_PAGE) -> ListingPage[ProductInfo]:
        """Return one page of the products (at most 1,000 per instance)."""
        build = ProductInfo.from_json
        return self._page("ListProducts", "/products", page, "products", build)

    def show_applications(self) -> tuple[Application, ...]:
        """Return all resource spaces (at most 10 per instance). Not paged."""
        build = partial(
            need_rows,
            key="applications",
            build=Application.from_json,
            skip=self._skip,
        )
        return self._call(Endpoint("ShowApplications"), "GET", "/apps", build)[0]


def _device_path(device_id: str) -> str:
    return f"/devices/{checked(device_id, 'device id')}"
