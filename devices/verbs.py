"""Freeze and unfreeze: how IoTDA is asked, and how the result is read back."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from devices.models import Device, status_subject
from devices.sync import Devices, device_row
from devices.targets import (
    DeviceSelection,
    device_rows,
    known_devices,
    resolve_devices,
)
from iotda_admin.inventory.sync import request_sync as ask_for_reading
from iotda_admin.iotda import (
    Client,
    DeviceInfo,
    IotdaError,
    Rejected,
    Response,
    TaskType,
    Throttled,
    Unauthorized,
    Unreachable,
)
from iotda_admin.operations.error_codes import MOVED, NOT_DIRECT
from iotda_admin.operations.models import Operation
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.verbs import (
    State,
    TargetOutcome,
    Verb,
    VerbAnswer,
    VerbInventory,
    VerbPermission,
    VerbRequest,
)

FROZEN = Device.Status.FROZEN
# When so many reads in a row get no answer, the other reads would not either.
LOST_READS = 3
FREEZE_PERMISSION = VerbPermission(
    "devices.freeze_device",
    _("Can freeze and unfreeze devices"),
    roles=("operator", "admin"),
)


class DeviceInventory(VerbInventory):
    """The mirrored devices."""

    def rows(self, target_type: str, ids: Sequence[str]) -> QuerySet[Any]:
        return known_devices(ids)

    def store(self, seen: Sequence[Any]) -> None:
        # The last read of a device counts: one statement cannot write a row twice.
        latest = {device.device_id: device for device in seen}
        Devices().save([device_row(device) for device in latest.values()])


class DeviceVerb(Verb):
    """A verb on devices: the pages of the devices app draw its URLs, buttons and dialogs.

    In its words, ``{name}`` is the device and ``%(shown)s`` the number of devices.
    """

    target_types = ("device",)
    # Whether IoTDA takes only directly connected devices.
    direct_only = False
    # Whether each row of the list has a button for it.
    in_rows = True
    question: str | Promise
    effect: str | Promise
    effect_many: str | Promise
    heading: str | Promise
    heading_many: Any
    done: str | Promise
    already: str | Promise
    already_many: Any
    # Shown for devices that are online.
    online_hint: str | Promise = ""
    online_hint_many: Any = None

    @property
    def bulk_url(self) -> str:  # type: ignore[override]
        return f"devices:{self.command}_many"

    @property
    def bulk_label(self) -> str | Promise:  # type: ignore[override]
        return self.title

    def offered(self, device: Device) -> bool:
        """Return whether the pages offer it for this device."""
        return device.direct or not self.direct_only

    def is_already(self, device: Device) -> bool:
        """Return whether the device already is as this verb wants."""
        return False

    def already_count(self, selection: DeviceSelection) -> int:
        """Return how many of the selected devices already are as this verb wants."""
        return 0

    def subject(self, about: Operation | OperationRequest, target_id: str) -> str:
        return status_subject(target_id)

    def resolve(self, client: Client, request: OperationRequest) -> OperationRequest:
        return replace(request, targets=resolve_devices(request.ids))

    def stops(self, error: IotdaError) -> bool:
        # A 403 is about our permissions, except for the codes about this one device.
        about_device = error.code.startswith("IOTDA.014")
        return super().stops(error) or (error.status == 403 and not about_device)

    def read_back(self, client: Client, request: VerbRequest) -> Mapping[str, bool]:
        """Read each device. One that cannot be read does not hold back the others."""
        standing: dict[str, bool] = {}
        errors: list[IotdaError] = []
        for device_id in request.ids:
            try:
                standing[device_id] = self.is_as_requested(client, request, device_id)
            except IotdaError as error:
                errors.append(error)
                if ends_reading(errors):
                    break
            request.heartbeat()
        if errors and not standing:
            raise errors[-1]
        return standing

    def is_as_requested(
        self, client: Client, request: VerbRequest, device_id: str
    ) -> bool:
        """Read whether the device is as requested. A deleted one is not."""
        try:
            device = client.show_device(device_id)
        except IotdaError as error:
            if error.not_found:
                return False
            raise
        request.seen.append(device)
        return self.matches(device)

    def matches(self, device: DeviceInfo) -> bool:
        """Return whether a device that was just read is as this verb wants."""
        raise NotImplementedError


def ends_reading(errors: Iterable[IotdaError]) -> bool:
    *_others, last = errors
    lost = sum(isinstance(error, Unreachable) for error in errors)
    return isinstance(last, Throttled | Unauthorized) or lost == LOST_READS


class FrozenInventory(DeviceInventory):
    """What the inventory knows of frozen devices, and of those that are not."""

    def __init__(self, *, frozen: bool) -> None:
        self.frozen = frozen

    def standing(
        self, ids: Sequence[str], about: Operation, before: datetime | None = None
    ) -> Mapping[str, bool]:
        rows = known_devices(ids)
        rows = rows.filter(read_at__lt=before) if before else rows
        found = rows.values_list("device_id", "status")
        return {
            device_id: (status == FROZEN) == self.frozen
            for device_id, status in found
            if status
        }

    def apply(self, operation: Operation, ids: Sequence[str]) -> None:
        rows, now = known_devices(ids), timezone.now()
        if self.frozen:
            rows.update(status=FROZEN, read_at=now)
        else:
            # After a batch task nobody has read the new status: none is better than a
            # wrong one.
            rows.filter(status=FROZEN).update(status="", read_at=now)

    def batch_task_ended(self) -> None:
        if not self.frozen:
            ask_for_reading()


class FreezeSwitch(DeviceVerb):
    """IoTDA takes one device a call, or many as a batch task; only direct ones."""

    permissions = (FREEZE_PERMISSION,)
    direct_only = True
    # A read comes before the change.
    calls = 2
    # Whether the device is to be frozen.
    frozen: ClassVar[bool]
    task_type: TaskType

    def offered(self, device: Device) -> bool:
        return device.frozen != self.frozen and (device.direct or not self.frozen)

    def is_already(self, device: Device) -> bool:
        return device.frozen == self.frozen

    def already_count(self, selection: DeviceSelection) -> int:
        thawed = selection.known - selection.frozen
        return selection.frozen if self.frozen else thawed

    def matches(self, device: DeviceInfo) -> bool:
        return (device.status == FROZEN) == self.frozen

    def send(self, client: Client, request: VerbRequest) -> VerbAnswer:
        if request.task_name:
            return self.send_batch_task(client, request)
        (device_id,) = request.ids
        device = client.show_device(device_id)
        request.seen.append(device)
        if not request.may_change_in(device.app_id):
            # It moved since the last sync. The message tells nothing about it either.
            return VerbAnswer({device_id: TargetOutcome(State.FAILED, MOVED)})
        if self.matches(device):
            return VerbAnswer({device_id: TargetOutcome(State.ALREADY)})
        if device.is_child:
            return VerbAnswer({device_id: TargetOutcome(State.FAILED, NOT_DIRECT)})
        try:
            ack = self.call(client, request)
        except Rejected as error:
            if error.code != self.already_code:
                raise
            outcome = TargetOutcome(State.ALREADY, error.code, error.message)
            return VerbAnswer({device_id: outcome}, error.status, error.request_id)
        return VerbAnswer(
            {device_id: TargetOutcome(State.OK)}, ack.status, ack.request_id
        )

    def send_batch_task(self, client: Client, request: VerbRequest) -> VerbAnswer:
        """Send many devices as one batch task, without reading them first.

        IoTDA itself names a device that is behind a gateway or already as requested. Known
        limit: neither the task nor its rows name a resource space, so a device that moved
        to another space since the last sync is changed with the others.
        """
        name, ids = request.task_name, request.ids
        task_id, ack = client.create_batch_task(name, self.task_type, ids)
        return VerbAnswer({}, ack.status, ack.request_id, task_id)

    def call(self, client: Client, request: VerbRequest) -> Response:
        raise NotImplementedError


class Freeze(FreezeSwitch):
    name = "device.freeze"
    inverse = "device.unfreeze"
    frozen = True
    inventory = FrozenInventory(frozen=True)
    task_type = "freezeDevices"
    already_code = "IOTDA.014039"

    title = _("Freeze")
    summary = (
        "Freezes devices: IoTDA disconnects them and refuses their connections until they"
        " are unfrozen."
    )
    past = "frozen"
    icon = "freeze"
    danger = True
    question = _("Freeze {name}?")
    effect = _("It cannot connect to IoTDA until someone unfreezes it.")
    effect_many = _("They cannot connect to IoTDA until someone unfreezes them.")
    heading = _("Freeze devices")
    heading_many = ngettext_lazy(
        "Freeze %(shown)s device", "Freeze %(shown)s devices", "n"
    )
    done = _("{name} is frozen.")
    already = _("{name} was frozen already.")
    already_many = ngettext_lazy(
        "%(shown)s is frozen already", "%(shown)s are frozen already", "n"
    )
    online_hint = _("It was online at the last sync.")
    online_hint_many = ngettext_lazy(
        "%(shown)s of them was online at the last sync.",
        "%(shown)s of them were online at the last sync.",
        "n",
    )

    def call(self, client: Client, request: VerbRequest) -> Response:
        return client.freeze_device(*request.ids)


class Unfreeze(FreezeSwitch):
    name = "device.unfreeze"
    inverse = "device.freeze"
    frozen = False
    inventory = FrozenInventory(frozen=False)
    task_type = "unfreezeDevices"
    already_code = "IOTDA.014040"
    # A second read comes after the change.
    calls = 3

    title = _("Unfreeze")
    summary = "Unfreezes devices: IoTDA lets them connect again."
    past = "unfrozen"
    icon = "unfreeze"
    question = _("Unfreeze {name}?")
    effect = _("It may connect to IoTDA again.")
    effect_many = _("They may connect to IoTDA again.")
    heading = _("Unfreeze devices")
    heading_many = ngettext_lazy(
        "Unfreeze %(shown)s device", "Unfreeze %(shown)s devices", "n"
    )
    done = _("{name} is no longer frozen.")
    already = _("{name} was not frozen.")
    already_many = ngettext_lazy(
        "%(shown)s is not frozen", "%(shown)s are not frozen", "n"
    )

    def call(self, client: Client, request: VerbRequest) -> Response:
        (device_id,) = request.ids
        ack = client.unfreeze_device(device_id)
        # Only IoTDA knows the new status (offline, never connected).
        with suppress(IotdaError):
            request.seen.append(client.show_device(device_id))
        return ack


class DeletedInventory(DeviceInventory):
    """A deleted device leaves the inventory."""

    def apply(self, operation: Operation, ids: Sequence[str]) -> None:
        Devices().remove(known_devices(ids))


class Delete(DeviceVerb):
    """Deletes devices for good; a gateway only once it has no child devices."""

    name = "device.delete"
    inventory = DeletedInventory()
    permissions = (
        VerbPermission(
            "devices.delete_device",
            _("Can delete devices"),
            roles=("policy admin", "admin"),
        ),
    )
    row_stays = False
    in_rows = False
    typed = True
    # A read comes before the change.
    calls = 2

    title = _("Delete")
    past = "deleted"
    icon = "delete"
    danger = True
    summary = "Deletes devices from IoTDA for good."
    question = _("Delete {name}?")
    effect = _("It is removed from IoTDA for good. This cannot be undone.")
    effect_many = _("They are removed from IoTDA for good. This cannot be undone.")
    heading = _("Delete devices")
    heading_many = ngettext_lazy(
        "Delete %(shown)s device", "Delete %(shown)s devices", "n"
    )
    done = _("{name} is deleted.")
    already = _("{name} was deleted already.")
    already_many = ngettext_lazy(
        "%(shown)s is deleted already", "%(shown)s are deleted already", "n"
    )
    online_hint = _("It was online at the last sync.")
    online_hint_many = ngettext_lazy(
        "%(shown)s of them was online at the last sync.",
        "%(shown)s of them were online at the last sync.",
        "n",
    )

    def confirmation(
        self, about: Operation | OperationRequest, ids: Sequence[str]
    ) -> str:
        """Return the name of one device, or the number of several."""
        if len(ids) > 1:
            return str(len(ids))
        return str(device_rows(ids)[0])

    def resolve(self, client: Client, request: OperationRequest) -> OperationRequest:
        # Of a device that the inventory knows, a 404 means that it was deleted before.
        targets = [
            target._replace(stood_before=False) if target.space else target
            for target in resolve_devices(request.ids)
        ]
        return replace(request, targets=targets)

    def send(self, client: Client, request: VerbRequest) -> VerbAnswer:
        (device_id,) = request.ids
        try:
            device = client.show_device(device_id)
            if not request.may_change_in(device.app_id):
                return VerbAnswer({device_id: TargetOutcome(State.FAILED, MOVED)})
            ack = client.delete_device(device_id)
        except Rejected as error:
            known = request.stood_before[device_id] is not None
            if not (error.not_found and known):
                raise
            outcome = TargetOutcome(State.ALREADY, error.code, error.message)
            return VerbAnswer({device_id: outcome}, error.status, error.request_id)
        return VerbAnswer(
            {device_id: TargetOutcome(State.OK)}, ack.status, ack.request_id
        )

    def is_as_requested(
        self, client: Client, request: VerbRequest, device_id: str
    ) -> bool:
        """Read whether the device is gone."""
        try:
            request.seen.append(client.show_device(device_id))
        except Rejected as error:
            if not error.not_found:
                raise
            return True
        return False
