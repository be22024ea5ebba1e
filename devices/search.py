"""Finds devices by what a user types: words, an ID, an ID that was not synced yet."""

import re
from dataclasses import dataclass

from django.db import connection
from django.db.models import Q, QuerySet

from devices.models import Device
from devices.search_index import found_by_index, index_query
from devices.sync import read_device
from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.bulk_sql import among
from iotda_admin.core.search_text import has_words, readings
from iotda_admin.core.tidy import tidy
from iotda_admin.iotda import IotdaError
from iotda_admin.rate.page_reads import page_client

# So many devices are found by the index and sorted; of more, the list is read in order
# until a page is full.
FEW = 10_000
# The devices that show which trigrams are frequent.
SAMPLE = 200
# Words of names rarely have digits or signs; while one is typed, IoTDA is not asked.
WHOLE_ID = re.compile(r"(?=.*[0-9_-])[A-Za-z0-9_-]{6,128}")


@dataclass(frozen=True, slots=True)
class Matches:
    """The devices that a search found, and whether they are few enough to be sorted."""

    rows: QuerySet[Device]
    few: bool
    words: frozenset[str] = frozenset()


def devices_matching(devices: QuerySet[Device], text: str) -> QuerySet[Device]:
    """Match the words of a name or ID; a whole ID finds only its device."""
    return search_devices(devices, text).rows


def search_devices(devices: QuerySet[Device], text: str) -> Matches:
    """Return the device that a whole ID names, or those with all words of the text."""
    whole = tidy(text)
    # All, and then those of the filters: together their indexes would not be used.
    named = Device.objects.filter(Q(device_id=whole) | Q(node_id=whole)).order_by()
    ids = list(named.values_list("pk", flat=True)[:FEW]) if whole else []
    exact = devices.filter(among("device_id", ids))
    if ids and exact.exists():
        return Matches(exact, few=True)
    *as_typed, last = readings(text)
    for words in as_typed:
        found = with_words(devices, words)
        if not found.few or found.rows.exists():
            return found
    return with_words(devices, last)


def with_words(devices: QuerySet[Device], words: set[str]) -> Matches:
    """Return the devices with these words, by the index if it finds few."""
    rows = devices.filter(has_words(words))
    if connection.vendor == "postgresql":
        # Its planner estimates how many they are, and uses the index by itself.
        few = rows.order_by()[: FEW + 1].count() <= FEW
        return Matches(rows, few, frozenset(words))
    texts = Device.objects.order_by("pk").values_list("search_text", flat=True)
    query = index_query(words, list(texts[:SAMPLE]))
    if query and (found := found_by_index(query, FEW)):
        return Matches(rows.filter(found), few=True)
    return Matches(rows, few=False, words=frozenset(words))


def read_unknown_device(text: str, user: AnyUser) -> bool:
    """Store a device that IoTDA has and the user's inventory has not, by its whole ID.

    A device of another space is read like an unknown one, so that nothing shows whether
    it exists. Raises IotdaError if IoTDA gives no answer.
    """
    device_id = tidy(text)
    if not WHOLE_ID.fullmatch(device_id):
        return False
    if in_scope(Device.objects.filter(pk=device_id), user).exists():
        return False
    try:
        with page_client() as iotda:
            read_device(iotda, device_id)
    except IotdaError as error:
        if error.not_found:
            return False
        raise
    return True
