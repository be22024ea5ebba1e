"""Freeze and unfreeze: how IoTDA is asked, and how one sees whether it took effect."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.mirrors import remember
from devices.models import Device
from iotda_admin.iotda import Ack, Client, IotdaError, Rejected
from iotda_admin.operations.codes import NOT_DIRECT
from iotda_admin.operations.models import Operation
from iotda_admin.operations.verbs import Answer, State, Verb, Verdict

FROZEN = Device.Status.FROZEN


class DeviceStatus(Verb):
    """The platform takes one device a call, and only directly connected ones."""

    # Whether the device shall be frozen afterwards.
    frozen: ClassVar[bool]
    # The refusal that means "it already is as you want it".
    already_code: ClassVar[str]

    def permission(self, target_type: str) -> str:
        return "devices.freeze_device"

    def subject(self, operation: Operation, target_id: str) -> str:
        return f"status of {target_id}"

    def send(self, client: Client, operation: Operation, ids: Sequence[str]) -> Answer:
        (device_id,) = ids
        device = client.show_device(device_id)
        remember(device)
        if (device.status == FROZEN) == self.frozen:
            return Answer({device_id: Verdict(State.ALREADY)})
        if device.gateway_id and device.gateway_id != device_id:
            return Answer({device_id: Verdict(State.FAILED, NOT_DIRECT)})
        try:
            ack = self.call(client, device_id)
        except Rejected as error:
            if error.code != self.already_code:
                raise
            verdict = Verdict(State.ALREADY, error.code, error.message)
            return Answer({device_id: verdict}, error.status, error.request_id)
        return Answer({device_id: Verdict(State.OK)}, ack.status, ack.request_id)

    def call(self, client: Client, device_id: str) -> Ack:
        raise NotImplementedError

    def read_back(self, client: Client, operation: Operation, ids: Sequence[str]) -> Mapping[str, bool]:
        return {device_id: self.stands(client, device_id) for device_id in ids}

    def stands(self, client: Client, device_id: str) -> bool:
        try:
            device = client.show_device(device_id)
        except Rejected as error:
            # A device that is gone does not stand; a gateway's 404 says nothing of a device.
            if error.status != 404 or not error.code.startswith("IOTDA."):
                raise
            return False
        remember(device)
        return (device.status == FROZEN) == self.frozen

    def stops(self, error: IotdaError) -> bool:
        # 403 speaks of our rights, except for the codes that speak of this one device.
        about_device = error.code.startswith("IOTDA.014")
        return super().stops(error) or (error.status == 403 and not about_device)


class Freeze(DeviceStatus):
    name = "device.freeze"
    title = _("Freeze")
    frozen = True
    already_code = "IOTDA.014039"

    def call(self, client: Client, device_id: str) -> Ack:
        return client.freeze_device(device_id)

    def settled(self, operation: Operation, ids: Sequence[str]) -> None:
        Device.objects.filter(device_id__in=ids).update(status=FROZEN, read_at=timezone.now())


class Unfreeze(DeviceStatus):
    name = "device.unfreeze"
    title = _("Unfreeze")
    frozen = False
    already_code = "IOTDA.014040"

    def call(self, client: Client, device_id: str) -> Ack:
        ack = client.unfreeze_device(device_id)
        # What it is afterwards (offline, never connected) only the platform knows.
        with suppress(IotdaError):
            remember(client.show_device(device_id))
        return ack
