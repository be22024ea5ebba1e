"""Freeze and unfreeze: how IoTDA is asked, and how one sees whether it took effect."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.models import Device
from devices.sync import Devices, device_row
from iotda_admin.core.bulk_sql import values_subquery
from iotda_admin.inventory.sync import ask as ask_for_reading
from iotda_admin.iotda import (
    Ack,
    Client,
    IotdaError,
    Rejected,
    TaskType,
    Throttled,
    Unauthorized,
    Unreachable,
)
from iotda_admin.operations.error_codes import MOVED, NOT_DIRECT
from iotda_admin.operations.models import Operation
from iotda_admin.operations.verbs import (
    State,
    TargetOutcome,
    Verb,
    VerbAnswer,
    VerbRequest,
)

FROZEN = Device.Status.FROZEN
# Where so many reads in one look get no answer at all, the others would wait in vain as well.
LOST_READS = 3


def known(ids: Iterable[str]) -> QuerySet[Device]:
    return Device.objects.filter(device_id__in=values_subquery(list(ids)))


def lost(errors: Iterable[IotdaError]) -> int:
    return sum(isinstance(error, Unreachable) for error in errors)


class DeviceStatus(Verb):
    """The platform takes one device a call, or very many as a batch task; only directly connected ones."""

    # A look before the change.
    calls = 2
    # Whether the device shall be frozen afterwards.
    frozen: ClassVar[bool]
    task_type: TaskType

    def permission(self, target_type: str) -> str:
        return "devices.freeze_device"

    def subject(self, operation: Operation, target_id: str) -> str:
        return f"status of {target_id}"

    def in_inventory(self, target_type: str, ids: Sequence[str]) -> QuerySet[Any]:
        return known(ids)

    def inventory_says(
        self, ids: Sequence[str], about: Operation | None = None
    ) -> Mapping[str, bool]:
        return self.standing(known(ids))

    def inventory_said(
        self, ids: Sequence[str], before: datetime
    ) -> Mapping[str, bool]:
        return self.standing(known(ids).filter(read_at__lt=before))

    def standing(self, rows: QuerySet[Device]) -> Mapping[str, bool]:
        found = rows.values_list("device_id", "status")
        return {
            device_id: (status == FROZEN) == self.frozen
            for device_id, status in found
            if status
        }

    def send(self, client: Client, request: VerbRequest) -> VerbAnswer:
        if request.task_name:
            return self.send_task(client, request)
        (device_id,) = request.ids
        device = client.show_device(device_id)
        request.seen.append(device)
        if not request.may_change_in(device.app_id):
            # Moved since the inventory was read: nothing is told of it either.
            return VerbAnswer({device_id: TargetOutcome(State.FAILED, MOVED)})
        if (device.status == FROZEN) == self.frozen:
            return VerbAnswer({device_id: TargetOutcome(State.ALREADY)})
        if device.gateway_id and device.gateway_id != device_id:
            return VerbAnswer({device_id: TargetOutcome(State.FAILED, NOT_DIRECT)})
        try:
            ack = self.call(client, request)
        except Rejected as error:
            if error.code != self.already_code:
                raise
            verdict = TargetOutcome(State.ALREADY, error.code, error.message)
            return VerbAnswer({device_id: verdict}, error.status, error.request_id)
        return VerbAnswer(
            {device_id: TargetOutcome(State.OK)}, ack.status, ack.request_id
        )

    def send_task(self, client: Client, request: VerbRequest) -> VerbAnswer:
        """No device is read before: a child device, or one that stands already, the platform names itself.

        Known: neither the task nor its rows name a resource space. A device that was moved to another one
        since the inventory was read is changed with the others.
        """
        task = client.create_batch_task(request.task_name, self.task_type, request.ids)
        return VerbAnswer({}, task.http_status, task.request_id, task.task_id)

    def call(self, client: Client, request: VerbRequest) -> Ack:
        raise NotImplementedError

    def read_back(self, client: Client, request: VerbRequest) -> Mapping[str, bool]:
        """Of a device that cannot be read nothing is told; it must not hold back the others."""
        stands, errors = {}, []
        for device_id in request.ids:
            try:
                stands[device_id] = self.stands(client, request, device_id)
            except IotdaError as error:
                errors.append(error)
                if (
                    isinstance(error, (Throttled, Unauthorized))
                    or lost(errors) == LOST_READS
                ):
                    break
            request.beat()
        if errors and not stands:
            raise errors[-1]
        return stands

    def stands(self, client: Client, request: VerbRequest, device_id: str) -> bool:
        try:
            device = client.show_device(device_id)
        except Rejected as error:
            # A device that is gone does not stand; a gateway's 404 says nothing of a device.
            if error.status != 404 or not error.code.startswith("IOTDA."):
                raise
            return False
        request.seen.append(device)
        return (device.status == FROZEN) == self.frozen

    def remember(self, seen: Sequence[Any]) -> None:
        # The last look at a device counts; one statement cannot write the same row twice.
        Devices().save(
            [device_row(device) for device in {d.device_id: d for d in seen}.values()]
        )

    def stops(self, error: IotdaError) -> bool:
        # 403 speaks of our rights, except for the codes that speak of this one device.
        about_device = error.code.startswith("IOTDA.014")
        return super().stops(error) or (error.status == 403 and not about_device)


class Freeze(DeviceStatus):
    name = "device.freeze"
    inverse = "device.unfreeze"
    title = _("Freeze")
    frozen = True
    task_type = "freezeDevices"
    already_code = "IOTDA.014039"

    def call(self, client: Client, request: VerbRequest) -> Ack:
        return client.freeze_device(*request.ids)

    def settled(self, operation: Operation, ids: Sequence[str]) -> None:
        known(ids).update(status=FROZEN, read_at=timezone.now())


class Unfreeze(DeviceStatus):
    name = "device.unfreeze"
    inverse = "device.freeze"
    title = _("Unfreeze")
    frozen = False
    task_type = "unfreezeDevices"
    already_code = "IOTDA.014040"

    # And a look afterwards.
    calls = 3

    def call(self, client: Client, request: VerbRequest) -> Ack:
        (device_id,) = request.ids
        ack = client.unfreeze_device(device_id)
        # What it is afterwards (offline, never connected) only the platform knows.
        with suppress(IotdaError):
            request.seen.append(client.show_device(device_id))
        return ack

    def settled(self, operation: Operation, ids: Sequence[str]) -> None:
        # Those that nobody has looked at since, as after a batch task: no status is better than a wrong one.
        known(ids).filter(status=FROZEN).update(status="", read_at=timezone.now())

    def task_ended(self) -> None:
        ask_for_reading()
