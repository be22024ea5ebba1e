"""Which policies are in effect on a device, and through what."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from devices.models import Device
from iotda_admin.access.scope import AnyUser
from policies.models import POLICIES_PER_TARGET, Binding, TargetType
from policies.permissions import visible_policies

THROUGH = {
    TargetType.DEVICE: _("This device"),
    TargetType.PRODUCT: _("Its product"),
    TargetType.SPACE: _("Its resource space"),
}


def policies_on_target(kind: str, target_id: str, user: AnyUser) -> dict[str, Any]:
    """Return them by the inventory: IoTDA has no call for it."""
    return describe_bindings(Q(target_type=kind, target_id=target_id), kind, user)


def effective_policies(device: Device, user: AnyUser) -> dict[str, Any]:
    through = (
        Q(target_type=TargetType.DEVICE, target_id=device.device_id)
        | Q(target_type=TargetType.PRODUCT, target_id=device.product_id)
        | Q(target_type=TargetType.SPACE, target_id=device.app_id)
    )
    context = describe_bindings(through, TargetType.DEVICE, user)
    for binding in context["bindings"]:
        binding.through = THROUGH[binding.target_type]
    return context


def describe_bindings(through: Q, kind: str, user: AnyUser) -> dict[str, Any]:
    """Return the bindings that the user may see, and the number on the target itself."""
    bound = Binding.objects.filter(through)
    shown = bound.filter(policy__in=visible_policies(user)).select_related("policy")
    return {
        "bindings": shown.order_by("target_type", "policy__name", "policy"),
        "own": bound.filter(target_type=kind).count(),
        "limit": POLICIES_PER_TARGET,
    }
