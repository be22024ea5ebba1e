"""Resolves device IDs to what the inventory knows, before the devices are changed."""

from collections import Counter
from collections.abc import Iterable, Sequence

from django.db.models import Count, F, Q, QuerySet

from devices.models import Device
from iotda_admin.core.bulk_sql import among

DIRECT = Q(gateway_id="") | Q(gateway_id=F("device_id"))


def known_devices(ids: Iterable[str]) -> QuerySet[Device]:
    return Device.objects.filter(among("device_id", ids))


def count_statuses(devices: QuerySet[Device]) -> Counter[str]:
    # By kind of node too: so the database reads an index in its order.
    counted = devices.order_by().values_list("node_type", "status", Count("pk"))
    counts = Counter[str]()
    for _node_type, status, count in counted:
        counts[status] += count
    return counts


def device_rows(ids: Sequence[str]) -> list[Device]:
    known = Device.objects.in_bulk(ids)
    return [known.get(id) or Device(device_id=id) for id in ids]
