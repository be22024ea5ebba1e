"""Which policies and bindings a user may see, by resource spaces."""

from django.db.models import Q, QuerySet

from devices.models import Device, Product
from iotda_admin.access.scope import AnyUser, in_scope, user_spaces
from policies.models import Binding, Policy, TargetType


def visible_policies(user: AnyUser) -> QuerySet[Policy]:
    """Return policies of the user's spaces, and those of the whole instance."""
    spaces = user_spaces(user)
    rows = Policy.objects.all()
    return rows if spaces is None else rows.filter(app_id__in=sorted({"", *spaces}))


def visible_bindings(user: AnyUser) -> QuerySet[Binding]:
    return Binding.objects.filter(theirs(user))


def theirs(user: AnyUser, prefix: str = "") -> Q:
    """Bindings on targets in the user's spaces."""
    spaces = user_spaces(user)
    if spaces is None:
        return Q()
    ids = {
        TargetType.DEVICE: in_scope(Device.objects.order_by(), user).values("pk"),
        TargetType.PRODUCT: in_scope(Product.objects.order_by(), user).values("pk"),
        TargetType.SPACE: sorted(spaces),
    }
    found = Q()
    for kind, among in ids.items():
        found |= Q(**{f"{prefix}target_type": kind, f"{prefix}target_id__in": among})
    return found
