"""Who froze the devices that are frozen now, since when, and why."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from devices.models import Device
from devices.verbs import Delete, Freeze, Unfreeze
from iotda_admin.audit.models import Event, Outcome
from iotda_admin.core.bulk_sql import among
from iotda_admin.operations.models import Target

# What is said of the operation that froze a device.
ABOUT = ("operation__actor_name", "operation__reason", "operation__ticket")
# What ends the state that a freeze left, or is one.
CHANGES_STATUS = [verb.name for verb in (Freeze, Unfreeze, Delete)]


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


# A device, when it was changed, and its state then; None: not frozen.
type Change = tuple[str, datetime, FrozenState | None]


def frozen_states(devices: Iterable[Device]) -> dict[str, FrozenState]:
    """Return the state of each of these devices that is frozen, if it is known.

    It is what came last: an operation that froze the device, or a sync that found it
    frozen although no operation had done it. If what came last left it unfrozen, nobody
    knows who froze it.
    """
    ids = [each.pk for each in devices if each.status == Device.Status.FROZEN]
    if not ids:
        return {}
    # Events before these are archived: what came after an older freeze is not known.
    known_since = Event.objects.order_by("pk").values_list("at", flat=True).first()
    last = dict[str, tuple[datetime, FrozenState | None]]()
    for id, at, state in [*changes_by_operations(ids), *changes_outside(ids)]:
        if id not in last or last[id][0] < at:
            last[id] = at, state
    return {
        id: state
        for id, (at, state) in last.items()
        if state and known_since and at >= known_since
    }


def changes_by_operations(ids: Collection[str]) -> Iterator[Change]:
    """Yield the changes of these devices by operations, and the state after each."""
    rows = Target.objects.filter(
        among("target_id", ids),
        operation__verb__in=CHANGES_STATUS,
        state=Target.State.OK,
        settled_at__isnull=False,
    )
    columns = ("target_id", "operation__verb", "settled_at", "operation", *ABOUT)
    for id, verb, at, *about in rows.order_by().values_list(*columns):
        yield id, at, FrozenState(at, *about) if verb == Freeze.name else None


def changes_outside(ids: Collection[str]) -> Iterator[Change]:
    """Yield the changes of these devices outside of this product."""
    rows = Outcome.objects.filter(
        among("target_id", ids), event__kind=Event.Kind.DRIFT
    ).order_by()
    found: Iterable[Any] = rows.values_list("target_id", "event__at", "event__detail")
    for id, at, detail in found:
        change = detail.get("change")
        if change in ("frozen", "unfrozen", "deleted"):
            yield id, at, FrozenState(at) if change == "frozen" else None
