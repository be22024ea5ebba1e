"""Verbs of devices as buttons, and badges of device statuses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices.freezes import FrozenState, frozen_states
from devices.models import Device, Space
from devices.verbs import DeviceVerb, permitted_verbs
from iotda_admin.core.ids import is_id
from iotda_admin.core.row_templates import mark, render_rows
from iotda_admin.core.templatetags.core_tags import BADGES
from iotda_admin.operations.verbs import Verb

register = template.Library()

ICONS = {
    Device.Status.ONLINE: "online",
    Device.Status.OFFLINE: "offline",
    Device.Status.ABNORMAL: "warning",
    Device.Status.INACTIVE: "inactive",
    Device.Status.FROZEN: "freeze",
}
BADGES.update({str(status): (icon, status.label) for status, icon in ICONS.items()})


@register.simple_tag
def with_name(text: Any, device: Device) -> SafeString:
    """Return the words of a verb about one device."""
    return format_html(str(text), name=format_html("<bdi>{}</bdi>", device))


def offered(permitted: Sequence[Verb], device: Device) -> Iterator[DeviceVerb]:
    """Yield the verbs that are offered for a device, none if its ID cannot be sent."""
    if is_id(device.device_id):
        for verb in permitted:
            if isinstance(verb, DeviceVerb) and verb.offered(device):
                yield verb


@register.simple_tag(takes_context=True)
def device_verbs(context: template.Context, device: Device) -> list[DeviceVerb]:
    """Return the verbs that the user is offered for a device."""
    return list(offered(permitted_verbs(context["user"]), device))


@dataclass(frozen=True)
class DeviceRowKind:
    """What decides the markup of a device in the list, beside the user's language."""

    status: str
    direct: bool
    sendable: bool
    sendable_gateway: bool
    selectable: bool
    # The user may freeze: a reason is shown if this device cannot be frozen.
    may_freeze: bool
    verbs: tuple[DeviceVerb, ...]
    # It is known who froze the device.
    frozen_known: bool

    def context(self) -> dict[str, Any]:
        texts = ("id", "name", "product", "space", "gateway", "frozen")
        return vars(self) | {name: mark(name) for name in texts}


@register.simple_tag(takes_context=True)
def device_list_rows(
    context: template.Context, devices: Sequence[Device]
) -> SafeString:
    """Return the rows of devices, with what the user may do with each."""
    user = context["user"]
    permitted = permitted_verbs(user)
    selectable = any(verb.bulk_url for verb in permitted)
    may_freeze = user.has_perm("devices.freeze_device")
    rows, frozen = [], frozen_states(devices)
    for device in devices:
        sendable = is_id(device.device_id)
        kind = DeviceRowKind(
            status=device.status,
            direct=device.direct,
            sendable=sendable,
            sendable_gateway=is_id(device.gateway_id),
            selectable=selectable and sendable,
            may_freeze=may_freeze,
            verbs=tuple(v for v in offered(permitted, device) if v.in_rows),
            frozen_known=device.pk in frozen,
        )
        rows.append((kind, row_texts(device, frozen.get(device.pk))))
    return render_rows("devices/device_row.html", rows)


def row_texts(device: Device, frozen: FrozenState | None) -> dict[str, str]:
    return {
        "id": device.device_id,
        "name": str(device),
        "product": device.product_name or device.product_id,
        "space": device.app_name or device.app_id,
        "gateway": device.gateway_id,
        "frozen": frozen.line if frozen else "",
    }


@register.inclusion_tag("devices/column_head.html", takes_context=True)
def column_head(context: template.Context, name: str, label: str) -> dict[str, str]:
    """Return the heading of a column, whose link sorts by it, or the other way round."""
    sort, query = context["sort"], context["request"].GET.copy()
    for parameter in ("after", "before"):
        query.pop(parameter, None)
    direction = ""
    if sort.name == name:
        direction = "descending" if sort.descending else "ascending"
    query["sort"] = f"-{name}" if direction == "ascending" else name
    return {"label": label, "href": f"?{query.urlencode()}", "direction": direction}


@register.simple_tag(takes_context=True)
def bulk_verbs(context: template.Context) -> list[Verb]:
    """Return the verbs that the user is offered for the selected devices."""
    return [verb for verb in permitted_verbs(context["user"]) if verb.bulk_url]


@register.filter
def space_name(app_id: str) -> str:
    """Return the name of a resource space, or its ID if the inventory has no name."""
    return str(Space.objects.filter(pk=app_id).first() or app_id)
