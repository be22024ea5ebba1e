"""Resolves device IDs to what the inventory knows, before the devices are changed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count, F, Q, QuerySet

from devices.models import Device
from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.bulk_sql import values_subquery
from iotda_admin.core.id_import import list_as_text

SHOWN = 50
DIRECT = Q(gateway_id="") | Q(gateway_id=F("device_id"))


def known_devices(ids: Iterable[str]) -> QuerySet[Device]:
    return Device.objects.filter(device_id__in=values_subquery(list(ids)))


@dataclass(frozen=True, slots=True)
class DeviceSelection:
    """The chosen devices: those to change, and those left out behind a gateway.

    Unknown devices are to be changed too: IoTDA says what becomes of them. The unknown
    devices of a user who may not act in every space count as outside the user's spaces.
    """

    changing: Sequence[str]
    left_out: Sequence[str]
    # How many of those to change the inventory knows, how many of them are online, and
    # how many are frozen.
    known: int
    online: int
    frozen: int

    @property
    def unknown(self) -> int:
        return len(self.changing) - self.known

    @property
    def many(self) -> bool:
        """Return whether they are more than a page shows; the form sends one text then."""
        return len(self.changing) > SHOWN

    @property
    def text(self) -> str:
        return list_as_text(self.changing)

    @property
    def first_changing(self) -> list[Device]:
        return device_rows(self.changing[:SHOWN])

    @property
    def first_left_out(self) -> list[Device]:
        return device_rows(self.left_out[:SHOWN])


def select_devices(
    ids: Sequence[str], user: AnyUser, outside: Iterable[str], direct_only: bool
) -> DeviceSelection:
    """Sort the chosen IDs. ``outside`` are those not in the user's spaces."""
    known = in_scope(known_devices(ids).order_by(), user)
    behind: set[str] = set()
    if direct_only:
        behind = set(known.exclude(DIRECT).values_list("pk", flat=True))
        known = known.filter(DIRECT)
    excluded = behind | set(outside)
    statuses = count_statuses(known)
    return DeviceSelection(
        [id for id in ids if id not in excluded],
        [id for id in ids if id in behind],
        statuses.total(),
        statuses[Device.Status.ONLINE],
        statuses[Device.Status.FROZEN],
    )


def count_statuses(devices: QuerySet[Device]) -> Counter[str]:
    return Counter(dict(devices.values_list("status").annotate(Count("pk"))))


def device_rows(ids: Sequence[str]) -> list[Device]:
    known = Device.objects.in_bulk(ids)
    return [known.get(id) or Device(device_id=id) for id in ids]
