"""Freeze and unfreeze: how IoTDA is asked, and how one sees whether it took effect."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.mirrors import Devices, mirrored
from devices.models import Device
from iotda_admin.iotda import Ack, Client, IotdaError, Rejected
from iotda_admin.operations.codes import NOT_DIRECT
from iotda_admin.operations.models import Operation
from iotda_admin.operations.verbs import Answer, Request, State, Verb, Verdict

FROZEN = Device.Status.FROZEN


class DeviceStatus(Verb):
    """The platform takes one device a call, and only directly connected ones."""

    # A look before the change.
    calls = 2
    # Whether the device shall be frozen afterwards.
    frozen: ClassVar[bool]
    # The refusal that means "it already is as you want it".
    already_code: ClassVar[str]

    def permission(self, target_type: str) -> str:
        return "devices.freeze_device"

    def subject(self, operation: Operation, target_id: str) -> str:
        return f"status of {target_id}"

    def send(self, client: Client, request: Request) -> Answer:
        (device_id,) = request.ids
        device = client.show_device(device_id)
        request.seen.append(device)
        if (device.status == FROZEN) == self.frozen:
            return Answer({device_id: Verdict(State.ALREADY)})
        if device.gateway_id and device.gateway_id != device_id:
            return Answer({device_id: Verdict(State.FAILED, NOT_DIRECT)})
        try:
            ack = self.call(client, request)
        except Rejected as error:
            if error.code != self.already_code:
                raise
            verdict = Verdict(State.ALREADY, error.code, error.message)
            return Answer({device_id: verdict}, error.status, error.request_id)
        return Answer({device_id: Verdict(State.OK)}, ack.status, ack.request_id)

    def call(self, client: Client, request: Request) -> Ack:
        raise NotImplementedError

    def read_back(self, client: Client, request: Request) -> Mapping[str, bool]:
        stands = {}
        for device_id in request.ids:
            stands[device_id] = self.stands(client, request, device_id)
            request.beat()
        return stands

    def stands(self, client: Client, request: Request, device_id: str) -> bool:
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
        Devices().save([mirrored(device) for device in {d.device_id: d for d in seen}.values()])

    def stops(self, error: IotdaError) -> bool:
        # 403 speaks of our rights, except for the codes that speak of this one device.
        about_device = error.code.startswith("IOTDA.014")
        return super().stops(error) or (error.status == 403 and not about_device)


class Freeze(DeviceStatus):
    name = "device.freeze"
    inverse = "device.unfreeze"
    title = _("Freeze")
    frozen = True
    already_code = "IOTDA.014039"

    def call(self, client: Client, request: Request) -> Ack:
        return client.freeze_device(*request.ids)

    def settled(self, operation: Operation, ids: Sequence[str]) -> None:
        Device.objects.filter(device_id__in=ids).update(status=FROZEN, read_at=timezone.now())


class Unfreeze(DeviceStatus):
    name = "device.unfreeze"
    inverse = "device.freeze"
    title = _("Unfreeze")
    frozen = False
    already_code = "IOTDA.014040"

    # And a look afterwards.
    calls = 3

    def call(self, client: Client, request: Request) -> Ack:
        (device_id,) = request.ids
        ack = client.unfreeze_device(device_id)
        # What it is afterwards (offline, never connected) only the platform knows.
        with suppress(IotdaError):
            request.seen.append(client.show_device(device_id))
        return ack
