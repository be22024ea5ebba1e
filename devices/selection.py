"""What is known of very many devices before they are changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import F, Q

from devices.models import Device
from iotda_admin.access.scope import AnyUser, in_scope, user_spaces
from iotda_admin.core.bulk_sql import values_subquery
from iotda_admin.operations.permissions import ids_missing_in

SHOWN = 50
DIRECT = Q(gateway_id="") | Q(gateway_id=F("device_id"))


@dataclass(frozen=True, slots=True)
class Selection:
    """The devices that can be changed, and those that are left out, for they are behind a gateway.

    What the inventory does not know stays in: the platform says what became of it. Except for those who may
    not act in every resource space: nobody knows whether it is in one of theirs.
    """

    changing: Sequence[str]
    left_out: Sequence[str]
    # Not in the resource spaces of the one who asks: nothing is changed while they are among the chosen.
    outside: Sequence[str]
    # Of those that can be changed, how many the inventory knows, and as what.
    known: int
    online: int
    frozen: int

    @property
    def unknown(self) -> int:
        return len(self.changing) - self.known

    @property
    def many(self) -> bool:
        """More than can be shown one by one: they travel as one text."""
        return len(self.changing) > SHOWN

    @property
    def text(self) -> str:
        return "\n".join(self.changing)

    @property
    def first_changing(self) -> list[Device]:
        return rows(self.changing[:SHOWN])

    @property
    def first_left_out(self) -> list[Device]:
        return rows(self.left_out[:SHOWN])


def select_devices(ids: Sequence[str], user: AnyUser) -> Selection:
    known = in_scope(
        Device.objects.filter(pk__in=values_subquery(ids)).order_by(), user
    )
    behind = set(known.exclude(DIRECT).values_list("pk", flat=True))
    direct = known.filter(DIRECT)
    outside = [] if user_spaces(user) is None else ids_missing_in(known, ids)
    not_direct = behind | set(outside)
    return Selection(
        [id for id in ids if id not in not_direct],
        [id for id in ids if id in behind],
        outside,
        direct.count(),
        direct.filter(status=Device.Status.ONLINE).count(),
        direct.filter(status=Device.Status.FROZEN).count(),
    )


def rows(ids: Sequence[str]) -> list[Device]:
    known = Device.objects.in_bulk(ids)
    return [known.get(id) or Device(device_id=id) for id in ids]
