"""Syncs resource spaces, products and devices."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.counts import sum_up_counts
from devices.models import Device, Product, Space, status_subject
from iotda_admin.core.database import write_if_free
from iotda_admin.core.ids import is_id
from iotda_admin.inventory.drift import Drift
from iotda_admin.inventory.listings import batched_listing
from iotda_admin.inventory.mirror import Change, Mirror
from iotda_admin.iotda import (
    LISTED_TEXTS,
    BadResponse,
    Client,
    DeviceInfo,
    IotdaError,
    is_status,
)
from iotda_admin.rate.retries import retrying

FROZEN = Device.Status.FROZEN


class Spaces(Mirror):
    order = 1
    model = Space
    title = _("Resource spaces")
    key = ["app_id"]
    fields = ["name", "default"]

    def pages(self, client: Client) -> Iterator[list[Model]]:
        read_at = timezone.now()
        spaces = retrying(client.show_applications)()
        yield [
            Space(
                app_id=space.app_id,
                name=space.app_name,
                default=space.default_app,
                read_at=read_at,
            )
            for space in spaces
        ]


class Products(Mirror):
    order = 2
    model = Product
    title = _("Products")
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
                Product(
                    product_id=product.product_id,
                    read_at=read_at,
                    **copied(product, self.fields),
                )
                for product, read_at in page
            ]


class Devices(Mirror):
    order = 3
    model = Device
    title = _("Devices")
    key = ["device_id"]
    # As the client lists them: IoTDA calls the name device_name.
    fields = [*LISTED_TEXTS[1:-1], "name", "tags"]
    compared = ["status"]

    def pages(self, client: Client) -> Iterator[list[Any]]:
        for page in batched_listing(client.list_device_values, itemgetter(0)):
            yield [self.row._make((*values, read_at)) for values, read_at in page]

    def refresh(self, client: Client, progress: Callable[[int], None]) -> None:
        def stored(number: int) -> None:
            # The worker sums up only between two syncs, and may not run at all.
            sum_up_counts()
            progress(number)

        super().refresh(client, stored)

    def drifts(self, changes: Sequence[Change]) -> list[Drift]:
        drifts = []
        for after, before in changes:
            if after is None:
                drifts.append(drift_of(before, "deleted", before.status))
            elif before and before.status == FROZEN:
                # An odd status says nothing about a change.
                if is_status(after.status):
                    drifts.append(drift_of(after, "unfrozen", FROZEN))
            # Without a status we do not know what it was before.
            elif before and before.status and after.status == FROZEN:
                drifts.append(drift_of(after, "frozen", before.status))
        return drifts

    def find(self, client: Client, rows: Sequence[Device]) -> list[Model]:
        with ThreadPoolExecutor(settings.INVENTORY_IN_FLIGHT) as pool:
            return list(filter(None, pool.map(partial(self.find_one, client), rows)))

    def find_one(self, client: Client, row: Device) -> Device | None:
        """Read a device; return None if IoTDA says that it does not exist.

        IoTDA cannot be asked for an ID that cannot be sent: there the list decides.
        """
        if not is_id(row.device_id):
            return None
        try:
            return find_device(client, row.device_id)
        except BadResponse as error:
            self.skip(str(error), row.device_id)
            return row


def drift_of(row: Device, change: str, before: str) -> Drift:
    return Drift(
        change,
        status_subject(row.device_id),
        "device",
        row.device_id,
        row.name,
        row.app_id,
        before=before,
        after="" if change == "deleted" else row.status,
    )


def find_device(client: Client, device_id: str) -> Device | None:
    """Read one device; return None if IoTDA says that it does not exist."""
    read_at = timezone.now()
    try:
        return device_row(retrying(client.show_device)(device_id), read_at)
    except IotdaError as error:
        if error.not_found:
            return None
        raise


def device_row(device: DeviceInfo, read_at: datetime) -> Device:
    """Return the unsaved row of a device that was requested at this time."""
    tags = [[tag.tag_key, tag.tag_value] for tag in device.tags]
    values = [*attrgetter(*LISTED_TEXTS)(device), tags, read_at]
    return Device(**Devices.row._make(values)._asdict())


def copied(source: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}


def read_device(client: Client, device_id: str) -> tuple[DeviceInfo, Device]:
    """Read a device, store it unless the database is busy; return it with its row."""
    read_at = timezone.now()
    device = client.show_device(device_id)
    row = device_row(device, read_at)
    write_if_free(partial(Devices().store, [row]))
    return device, row
