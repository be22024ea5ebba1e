"""Verbs of devices as buttons, and badges of device statuses."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices.models import Device, Space
from devices.verbs import DeviceVerb, permitted_verbs
from iotda_admin.core.ids import is_id
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


@register.simple_tag(takes_context=True)
def device_verbs(
    context: template.Context, device: Device, in_rows: bool = False
) -> list[DeviceVerb]:
    """Return the verbs that the user is offered for a device, here or in its row.

    There are none for a device whose ID cannot be sent.
    """
    if not is_id(device.device_id):
        return []
    return [
        verb
        for verb in permitted_verbs(context["user"])
        if isinstance(verb, DeviceVerb)
        and verb.offered(device)
        and (verb.in_rows or not in_rows)
    ]


@register.simple_tag(takes_context=True)
def bulk_verbs(context: template.Context) -> list[Verb]:
    """Return the verbs that the user is offered for the selected devices."""
    return [verb for verb in permitted_verbs(context["user"]) if verb.bulk_url]


@register.filter
def space_name(app_id: str) -> str:
    """Return the name of a resource space, or its ID if the inventory has no name."""
    return str(Space.objects.filter(pk=app_id).first() or app_id)
