"""What is looked up before devices are frozen or unfrozen: for a form or the command line."""

from collections.abc import Sequence

from devices.models import Device
from iotda_admin.core.bulk_sql import values_subquery
from iotda_admin.operations.services import TargetSpec


def wanted(ids: Sequence[str]) -> list[TargetSpec]:
    """With names and spaces. What the inventory does not know is wanted too: the platform says what it is."""
    rows = (
        Device.objects.filter(pk__in=values_subquery(ids))
        .order_by()
        .values_list("pk", "name", "app_id")
    )
    known = {id: (name, space) for id, name, space in rows}
    return [
        TargetSpec(id, name, space=space)
        for id in ids
        for name, space in [known.get(id, ("", ""))]
    ]
