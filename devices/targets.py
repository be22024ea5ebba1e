"""Resolves device IDs to what the inventory knows, before the devices are changed."""

from collections.abc import Iterable, Sequence

from django.db.models import F, Q, QuerySet

from devices.models import Device
from iotda_admin.core.bulk_sql import among

DIRECT = Q(gateway_id="") | Q(gateway_id=F("device_id"))


def known_devices(ids: Iterable[str]) -> QuerySet[Device]:
    return Device.objects.filter(among("device_id", ids))


def devices_behind(ids: Iterable[str]) -> QuerySet[Device]:
    """Return the devices that reach IoTDA through these gateways, without the gateways."""
    rows = Device.objects.filter(among("gateway_id", ids))
    return rows.exclude(gateway_id=F("device_id"))


def device_rows(ids: Sequence[str]) -> list[Device]:
    known = Device.objects.in_bulk(ids)
    return [known.get(id) or Device(device_id=id) for id in ids]
