"""Syncs resource spaces, products and devices."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from django.db.models import Model
from django.utils import timezone

from devices.models import Device, Product, Space
from iotda_admin.inventory.mirror import Mirror, batched_listing
from iotda_admin.iotda import Client, DeviceInfo
from iotda_admin.rate.retries import retrying


class Spaces(Mirror):
    order = 1
    model = Space
    key = ["app_id"]
    fields = ["name", "default"]

    def pages(self, client: Client) -> Iterator[list[Model]]:
        spaces = retrying(client.show_applications)()
        yield [
            Space(app_id=space.app_id, name=space.app_name, default=space.default_app)
            for space in spaces
        ]


class Products(Mirror):
    order = 2
    model = Product
    key = ["product_id"]
    fields = [
        "name",
        "app_id",
        "app_name",
        "device_type",
        "protocol_type",
        "manufacturer_name",
    ]

    def pages(self, client: Client) -> Iterator[list[Model]]:
        for page in batched_listing(client.list_products, attrgetter("product_id")):
            yield [
                Product(product_id=product.product_id, **copied(product, self.fields))
                for product in page
            ]


DEVICE_FIELDS = [
    "node_id", "status", "node_type", "gateway_id", "product_id", "product_name",
    "app_id", "app_name", "fw_version", "sw_version", "description",
]  # fmt: skip


class Devices(Mirror):
    order = 3
    model = Device
    key = ["device_id"]
    fields = [*DEVICE_FIELDS, "name", "tags"]

    def pages(self, client: Client) -> Iterator[list[Model]]:
        for page in batched_listing(client.list_devices, attrgetter("device_id")):
            yield [device_row(device) for device in page]


def device_row(device: DeviceInfo) -> Device:
    return Device(
        device_id=device.device_id,
        name=device.device_name,
        tags=[[tag.tag_key, tag.tag_value] for tag in device.tags],
        read_at=timezone.now(),
        **copied(device, DEVICE_FIELDS),
    )


def copied(source: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}


def store_device(device: DeviceInfo) -> Device:
    """Store a device that was just read."""
    row = device_row(device)
    Devices().save([row])
    return row
