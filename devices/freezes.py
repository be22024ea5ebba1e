"""Who froze the devices that are frozen now, since when, and why."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from devices.models import Device
from devices.verbs import Freeze
from iotda_admin.audit.models import Event, Outcome
from iotda_admin.core.bulk_sql import among
from iotda_admin.operations.models import Target

# What is said of the operation that froze a device.
ABOUT = ("actor_name", "reason", "ticket")


@dataclass(frozen=True, slots=True)
class FrozenState:
    """Since when a device is frozen, and by which operation.

    Without an operation it was frozen outside of this product; then the time is when
    that was found.
    """

    since: datetime
    operation: int | None = None
    who: str = ""
    reason: str = ""
    ticket: str = ""

    @property
    def line(self) -> str:
        """Return it in one line: by whom, since which day, and the ticket."""
        who = self.who if self.operation else _("outside IoTDA Admin")
        day = f"{localtime(self.since):%Y-%m-%d}"
        return ", ".join(filter(None, (who, day, self.ticket)))


def frozen_states(devices: Iterable[Device]) -> dict[str, FrozenState]:
    """Return the state of each of these devices that is frozen, if it is known.

    It is what came last: an operation that froze the device, or a sync that found it
    frozen although no operation had done it.
    """
    ids = [each.pk for each in devices if each.status == Device.Status.FROZEN]
    if not ids:
        return {}
    found = last_operations(ids)
    for target_id, at in drifts_to_frozen(ids).items():
        if target_id not in found or found[target_id].since < at:
            found[target_id] = FrozenState(at)
    return found


def last_operations(ids: Collection[str]) -> dict[str, FrozenState]:
    rows = Target.objects.filter(
        among("target_id", ids),
        operation__verb=Freeze.name,
        state=Target.State.OK,
        settled_at__isnull=False,
    )
    columns = ("settled_at", "operation", *(f"operation__{name}" for name in ABOUT))
    found = rows.order_by("pk").values_list("target_id", *columns)
    return {target_id: FrozenState(*values) for target_id, *values in found}


def drifts_to_frozen(ids: Collection[str]) -> dict[str, datetime]:
    rows = Outcome.objects.filter(
        among("target_id", ids), event__kind=Event.Kind.DRIFT
    ).order_by("event")
    found: Iterable[Any] = rows.values_list("target_id", "event__at", "event__detail")
    return {id: at for id, at, detail in found if detail.get("change") == "frozen"}
