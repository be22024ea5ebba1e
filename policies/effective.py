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
    bound = Binding.objects.filter(target_type=kind, target_id=target_id)
    shown = bound.filter(policy__in=visible_policies(user)).select_related("policy")
    rows = list(shown.order_by("policy__name", "policy"))
    return {"bindings": rows, "own": bound.count(), "limit": POLICIES_PER_TARGET}


def effective_policies(device: Device, user: AnyUser) -> dict[str, Any]:
    wanted = (
        Q(target_type=TargetType.DEVICE, target_id=device.device_id)
        | Q(target_type=TargetType.PRODUCT, target_id=device.product_id)
        | Q(target_type=TargetType.SPACE, target_id=device.app_id)
    )
    bindings = (
        Binding.objects.filter(wanted)
        .select_related("policy")
        .order_by("target_type", "policy__name")
    )
    policies = visible_policies(user).filter(pk__in=[b.policy_id for b in bindings])
    shown = set(policies.values_list("pk", flat=True))
    rows = [
        (b, THROUGH[TargetType(b.target_type)])
        for b in bindings
        if b.policy_id in shown
    ]
    own = sum(binding.target_type == TargetType.DEVICE for binding in bindings)
    return {"bindings": rows, "own": own, "limit": POLICIES_PER_TARGET}
