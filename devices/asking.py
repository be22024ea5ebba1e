"""What is looked up before devices are frozen or unfrozen from the command line."""

from collections.abc import Sequence
from itertools import batched

from devices.models import Device
from iotda_admin.operations.door import Wanted


def wanted(ids: Sequence[str]) -> list[Wanted]:
    """With their names. What the inventory does not know is wanted too: the platform says what it is."""
    names: dict[str, str] = {}
    for some in batched(ids, 500):
        names |= dict(Device.objects.filter(pk__in=some).values_list("pk", "name"))
    return [Wanted(id, names.get(id, "")) for id in ids]
