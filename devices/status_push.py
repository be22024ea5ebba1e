"""Receives the statuses of devices from IoTDA's data forwarding.

The messages have the form of iot_06_v5_01201 in IoTDA's API reference. That a status may
be beside notify_data, that a deletion has the same form with the resource "device", and
that messages may be repeated and come in any order, is assumed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from devices.models import Device
from devices.sync import Devices, read_device
from iotda_admin.core import metrics
from iotda_admin.core.concurrency import limit_concurrency
from iotda_admin.core.database import write_if_free
from iotda_admin.core.ids import is_id
from iotda_admin.inventory.models import RemovedRow
from iotda_admin.iotda import IotdaError
from iotda_admin.rate.page_reads import page_client

BYTES = 64 * 1024
# How far the clock of IoTDA may be ahead of ours.
AHEAD = timedelta(seconds=60)
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
# The REST API spells it FROZEN.
SPELLING = {"FREEZED": Device.Status.FROZEN}
DELETED = "deleted"
WHATS = {("device.status", "update"): "status", ("device", "delete"): DELETED}


@dataclass(frozen=True)
class Message:
    device_id: str
    # Empty: the device was deleted.
    status: str
    at: datetime


class Unusable(Exception):
    """A message that says nothing about a device that we could store."""


@limit_concurrency("pushed statuses")
@login_not_required
@csrf_exempt
@require_POST
def receive_status(request: HttpRequest) -> HttpResponse:
    """Store what one message says, unless a later state of the device is known.

    Answer 200 also to one that is ignored: IoTDA blocks an address that fails often.
    """
    secret = settings.IOTDA_PUSH_SECRET
    if not secret:
        raise Http404
    if not constant_time_compare(request.GET.get("secret", ""), secret):
        return counted("wrong secret", 403)
    if len(request.body) > BYTES:
        return counted("too large", 413)
    try:
        message = read_message(request.body)
    except Unusable as error:
        return counted(str(error))
    return handle(message)


def counted(result: str, status: int = 200) -> HttpResponse:
    metrics.PUSHED.labels(result).inc()
    return HttpResponse(f"{result}\n", status=status, content_type="text/plain")


def read_message(body: bytes) -> Message:
    try:
        document = json.loads(body)
        what = WHATS[document["resource"], document["event"]]
        data = document["notify_data"]
        device_id = data["header"]["device_id"]
        status = ""
        if what != DELETED:
            status = (data.get("body") or document["body"])["status"]
        at = time_of(document)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Unusable("not understood") from None
    if not (isinstance(device_id, str) and is_id(device_id) and type(status) is str):
        raise Unusable("not understood")
    status = SPELLING.get(status, status)
    if what != DELETED and status not in Device.Status.values:
        raise Unusable("unknown status")
    if at > timezone.now() + AHEAD:
        raise Unusable("from the future")
    return Message(device_id, status, at)


def time_of(document: Mapping[str, Any]) -> datetime:
    """Return when it happened, to the millisecond if IoTDA says so."""
    text = str(document["event_time"])
    second = datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC)
    try:
        exact = datetime.fromtimestamp(int(document["event_time_ms"]) / 1000, UTC)
    except (LookupError, ValueError, TypeError, OverflowError, OSError):
        return second
    return exact if abs(exact - second) < timedelta(seconds=2) else second


def handle(message: Message) -> HttpResponse:
    result = ""

    def store() -> None:
        nonlocal result
        result = store_message(message)

    if not write_if_free(store):
        return counted("database busy", 503)
    if result == "read":
        try:
            with page_client() as iotda:
                read_device(iotda, message.device_id)
        except IotdaError:
            result = "not read"
    return counted(result)


def store_message(message: Message) -> str:
    """Store what a message says; return what became of it."""
    rows = Device.objects.select_for_update()
    device = rows.filter(pk=message.device_id).first()
    if device is None:
        return "unknown device"
    # A message of the same time may be an earlier one that is repeated.
    if device.read_at >= message.at:
        return "known already"
    if not message.status:
        delete(device.pk, message.at)
        return "deleted"
    if device.frozen and message.status != Device.Status.FROZEN:
        # It may be unfrozen, or only the end of the connection: IoTDA has to say.
        return "read"
    device.status, device.read_at = message.status, message.at
    Devices().store([device])
    return "stored"


def delete(device_id: str, at: datetime) -> None:
    """Delete a device, also for a sync that has listed it before and stores it now."""
    devices, key = Devices(), (device_id,)
    devices.delete_gone({key}, at, at)
    RemovedRow.objects.create(table=devices.table, key=json.dumps(key), removed_at=at)
