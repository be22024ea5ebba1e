"""Finds devices by what a user types: words, an ID, an ID that was not synced yet."""

import re

from django.db.models import Q, QuerySet

from devices.models import Device
from devices.sync import read_device
from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.search_text import rows_with_words
from iotda_admin.core.tidy import tidy
from iotda_admin.iotda import IotdaError
from iotda_admin.rate.page_reads import page_client

# Words of names rarely have digits or signs; while one is typed, IoTDA is not asked.
WHOLE_ID = re.compile(r"(?=.*[0-9_-])[A-Za-z0-9_-]{6,128}")


def devices_matching(devices: QuerySet[Device], text: str) -> QuerySet[Device]:
    """Match the words of a name or ID; a whole ID finds only its device."""
    whole = tidy(text)
    exact = devices.filter(Q(device_id=whole) | Q(node_id=whole))
    return exact if whole and exact.exists() else rows_with_words(devices, text)


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
