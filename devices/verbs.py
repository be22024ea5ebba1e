"""Freeze, unfreeze and delete: how they are sent, and how the result is read back."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from devices.lookup import find_devices
from devices.models import Device, status_subject
from devices.sync import Devices, device_row
from devices.targets import device_rows, devices_behind, known_devices
from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.bulk_sql import among, values_of_rows
from iotda_admin.core.ids import Lookup
from iotda_admin.inventory.mirror import Change
from iotda_admin.inventory.sync import request_sync
from iotda_admin.iotda import (
    BadResponse,
    Client,
    DeviceInfo,
    IotdaError,
    OutOfTime,
    Rejected,
    Response,
    TaskType,
    Throttled,
    Unauthorized,
    Unreachable,
    is_status,
)
from iotda_admin.operations.error_codes import MOVED, NOT_DIRECT
from iotda_admin.operations.models import Operation
from iotda_admin.operations.requests import OperationRequest, TargetSpec, target_specs
from iotda_admin.operations.task_slots import create_task
from iotda_admin.operations.verbs import (
    Seen,
    State,
    TargetOutcome,
    Verb,
    VerbAnswer,
    VerbInventory,
    VerbPermission,
    VerbRequest,
    all_verbs,
)

FROZEN = Device.Status.FROZEN
# When so many reads get no answer, the other reads would not either.
LOST_READS = 3

type Words = str | Promise


class DeviceInventory(VerbInventory):
    """The mirrored devices."""

    def rows(self, target_type: str, ids: Sequence[str]) -> QuerySet[Any]:
        return known_devices(ids)

    def lookup(self, target_type: str, user: AnyUser | None) -> Lookup:
        return partial(find_devices, user=user)

    def store(self, operation: Operation, seen: Sequence[Seen]) -> None:
        before, after = list[Device](), list[Device]()
        for device, read_at, changed in seen:
            (after if changed else before).append(device_row(device, read_at))
        Devices().store(before, not_by=operation)
        Devices().store(after)


class DeviceVerb(Verb):
    """A verb on devices: the pages of the devices app draw its URLs, buttons and dialogs.

    In its words, ``{name}`` is the device and ``%(shown)s`` the number of devices. A
    dangerous one warns of devices that are online.
    """

    target_types = ("device",)
    # Whether IoTDA takes only directly connected devices.
    direct_only = False
    # Whether each row of the list has a button for it.
    in_rows = True
    effect: Words
    effect_many: Words
    already_many: Words
    # What it means for devices behind the changed one, or ones, if it means anything.
    effect_behind: Words = ""
    effect_behind_many: Words = ""
    # Shown with the changed row, so only if it stays.
    done: Words
    already: Words

    def words_behind(self, ids: Sequence[str], user: AnyUser) -> str:
        """Return the sentence about the devices behind these that the user may see.

        Those that are changed themselves are not counted, but for a deletion: nothing
        makes sure that IoTDA deletes them before their gateway.
        """
        words = self.effect_behind_many if len(ids) > 1 else self.effect_behind
        if not words:
            return ""
        behind = in_scope(devices_behind(ids), user)
        if self.row_stays:
            behind = behind.exclude(among("pk", ids))
        if not (n := behind.count()):
            return ""
        return str(words % {"n": n, "shown": intcomma(n)})

    @property
    def url(self) -> str:
        """The name of the URL that changes one device."""
        return f"devices:{self.command}"

    @property
    def bulk_url(self) -> str:  # type: ignore[override]
        return f"{self.url}_many"

    def offered(self, device: Device) -> bool:
        """Return whether the pages offer it for this device."""
        return device.direct or not self.direct_only

    def is_already(self, device: Device | DeviceInfo) -> bool:
        """Return whether the device already is as this verb wants."""
        return False

    def already_rows(self, devices: QuerySet[Device]) -> QuerySet[Device]:
        """Return those of these devices that already are as this verb wants."""
        return devices.none()

    def subject(self, about: Operation | OperationRequest, target_id: str) -> str:
        return status_subject(target_id)

    def resolve(self, client: Client, request: OperationRequest) -> OperationRequest:
        # Unknown devices stay in: IoTDA says what they are.
        rows = known_devices(request.ids)
        return replace(request, targets=target_specs(rows, request.ids))

    def send(self, client: Client, request: VerbRequest) -> VerbAnswer:
        """Read the device, then change it if that is needed and allowed."""
        (device_id,) = request.ids
        try:
            device = show_device(client, device_id, request, changed=request.resent)
            if outcome := self.outcome_without_call(device, request):
                return VerbAnswer({device_id: outcome})
            response: Response | Rejected = self.call_confirmed(client, request)
            outcome = TargetOutcome(State.OK)
        except Rejected as error:
            if not self.means_already(error, request):
                raise
            response = error
            outcome = TargetOutcome(State.ALREADY, error.code, error.message)
        return VerbAnswer({device_id: outcome}, response.status, response.request_id)

    def outcome_without_call(
        self, device: DeviceInfo, request: VerbRequest
    ) -> TargetOutcome | None:
        """Return the outcome of a device that was just read, if no call is to be sent."""
        if not request.may_change_in(device.app_id):
            # It moved since the last sync. The message tells nothing about it either.
            return TargetOutcome(State.FAILED, MOVED)
        if self.is_already(device):
            return TargetOutcome(State.ALREADY)
        if self.direct_only and device.is_child:
            return TargetOutcome(State.FAILED, NOT_DIRECT)
        return None

    def call_confirmed(self, client: Client, request: VerbRequest) -> Response:
        """Send the change; raise a refusal only if the device agrees with it."""
        try:
            return self.call(client, request)
        except Rejected as error:
            already = self.means_already(error, request)
            self.confirm_refusal(client, request, error, already=already)
            raise

    def call(self, client: Client, request: VerbRequest) -> Response:
        """Send the change of the one device of the request."""
        raise NotImplementedError

    def means_already(self, error: Rejected, request: VerbRequest) -> bool:
        """Return whether this refusal means that the device is as requested."""
        return error.code == self.already_code

    def read_back(self, client: Client, request: VerbRequest) -> Mapping[str, bool]:
        """Read each device. One that cannot be read does not hold back the others."""
        standing: dict[str, bool] = {}
        errors: list[IotdaError] = []
        for device_id in request.ids:
            try:
                device = show_device(client, device_id, request)
                standing[device_id] = self.is_already(device)
            except IotdaError as error:
                if error.not_found:
                    # A deleted device is as requested only if the verb deletes.
                    standing[device_id] = not self.row_stays
                else:
                    errors.append(error)
                    lost = sum(isinstance(each, Unreachable) for each in errors)
                    if lost == LOST_READS or isinstance(
                        error, Throttled | Unauthorized | OutOfTime
                    ):
                        break
            request.heartbeat()
        if errors and not standing:
            raise errors[-1]
        return standing


def show_device(
    client: Client, device_id: str, request: VerbRequest, *, changed: bool = True
) -> DeviceInfo:
    """Read a device, and note for the inventory what IoTDA showed.

    changed: the change of the request may have been made before
    """
    read_at = timezone.now()
    try:
        device = client.show_device(device_id)
    except Rejected as error:
        if not error.not_found:
            raise
        # The answer names no device, so a second one has to say the same.
        device = client.show_device(device_id)
    request.seen.append(Seen(device, read_at, changed))
    return device


def permitted_verbs(user: AnyUser) -> list[Verb]:
    """Return the verbs that a user may use on devices, those of policies included."""
    return [
        verb for verb in all_verbs() if user.has_perm(verb.permission_for("device"))
    ]


class FrozenInventory(DeviceInventory):
    """What the inventory knows of frozen devices, and of those that are not."""

    def __init__(self, *, frozen: bool) -> None:
        self.frozen = frozen

    def standing(
        self, ids: Sequence[str], about: Operation, before: datetime | None = None
    ) -> Mapping[str, bool]:
        rows = known_devices(ids).exclude(status="")
        rows = rows.filter(read_at__lt=before) if before else rows
        found: dict[str, str] = dict(values_of_rows(rows, ["pk", "status"]))
        odd = {status for status in set(found.values()) if not is_status(status)}
        return {
            pk: (status == FROZEN) == self.frozen
            for pk, status in found.items()
            if status not in odd
        }

    def apply(
        self, operation: Operation, ids: Sequence[str], already: Sequence[str]
    ) -> None:
        now, status = timezone.now(), FROZEN if self.frozen else ""
        Devices().lock([(id,) for id in ids])
        outside = []
        for device in known_devices(already) if already else ():
            after = copy(device)
            after.status = status
            outside.append(Change(after, device))
        Devices().record_changes(outside, operation, now)
        rows = known_devices(ids)
        if self.frozen:
            rows.update(status=FROZEN, read_at=now)
        else:
            # After a batch task nobody has read the new status: none is better than a
            # wrong one.
            rows.filter(status=FROZEN).update(status="", read_at=now)

    def batch_task_ended(self) -> None:
        if not self.frozen:
            request_sync()


class FreezeSwitch(DeviceVerb):
    """IoTDA takes one device a call, or many as a batch task; only direct ones."""

    permissions = (
        VerbPermission(
            "devices.freeze_device",
            _("Can freeze and unfreeze devices"),
            roles=("operator", "admin"),
        ),
    )
    direct_only = True
    # A read comes before the change.
    calls = 2
    # Whether the device is to be frozen.
    frozen: ClassVar[bool]
    task_type: TaskType

    def offered(self, device: Device) -> bool:
        return not self.is_already(device) and (device.direct or not self.frozen)

    def is_already(self, device: Device | DeviceInfo) -> bool:
        if isinstance(device, DeviceInfo) and not device.has_status:
            message = f"not a status: {device.status}"
            raise BadResponse(message, operation="ShowDevice", retryable=True)
        return (device.status == FROZEN) == self.frozen

    def already_rows(self, devices: QuerySet[Device]) -> QuerySet[Device]:
        if self.frozen:
            return devices.filter(status=FROZEN)
        return devices.exclude(status=FROZEN)

    def send(self, client: Client, request: VerbRequest) -> VerbAnswer:
        """Send one device, or many as one batch task, without reading them first.

        IoTDA itself names a device that is behind a gateway or already as requested. Known
        limit: neither the task nor its rows name a resource space, so a device that moved
        to another space since the last sync is changed with the others.
        """
        if not request.task_name:
            return super().send(client, request)
        name, ids = request.task_name, request.ids
        task_id, ack = create_task(client, name, self.task_type, ids)
        return VerbAnswer({}, ack.status, ack.request_id, task_id)


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
    effect = _("It cannot connect to IoTDA until someone unfreezes it.")
    effect_many = _("They cannot connect to IoTDA until someone unfreezes them.")
    effect_behind = ngettext_lazy(
        "%(shown)s device behind it loses its connection.",
        "%(shown)s devices behind it lose their connection.",
        "n",
    )
    effect_behind_many = ngettext_lazy(
        "%(shown)s device behind them loses its connection.",
        "%(shown)s devices behind them lose their connection.",
        "n",
    )
    done = _("{name} is frozen.")
    already = _("{name} was frozen already.")
    already_many = ngettext_lazy(
        "%(shown)s is frozen already", "%(shown)s are frozen already", "n"
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
    effect = _("It may connect to IoTDA again.")
    effect_many = _("They may connect to IoTDA again.")
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
            show_device(client, device_id, request)
        return ack


class DeletedInventory(DeviceInventory):
    """A deleted device leaves the inventory."""

    def apply(
        self, operation: Operation, ids: Sequence[str], already: Sequence[str]
    ) -> None:
        Devices().remove([(id,) for id in ids])


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
    effect = _("It is removed from IoTDA for good. This cannot be undone.")
    effect_many = _("They are removed from IoTDA for good. This cannot be undone.")
    effect_behind = ngettext_lazy(
        "IoTDA refuses to delete a gateway with devices behind it: %(shown)s device.",
        "IoTDA refuses to delete a gateway with devices behind it: %(shown)s devices.",
        "n",
    )
    effect_behind_many = effect_behind
    already_many = ngettext_lazy(
        "%(shown)s is deleted already", "%(shown)s are deleted already", "n"
    )

    def confirmation(
        self, about: Operation | OperationRequest, ids: Sequence[str]
    ) -> str:
        """Return the name of one device, or the number of several."""
        return str(len(ids) if len(ids) > 1 else device_rows(ids)[0])

    def resolve(self, client: Client, request: OperationRequest) -> OperationRequest:
        # Of a device that the inventory knows, a 404 means that it was deleted before.
        targets = [
            TargetSpec(target.id, target.name, False, target.space)
            if target.space
            else target
            for target in target_specs(known_devices(request.ids), request.ids)
        ]
        return replace(request, targets=targets)

    def call(self, client: Client, request: VerbRequest) -> Response:
        return client.delete_device(*request.ids)

    def means_already(self, error: Rejected, request: VerbRequest) -> bool:
        """Return whether a device that the inventory knew is gone."""
        return error.not_found and None not in request.stood_before.values()
