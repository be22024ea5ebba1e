"""The most targets that a user may change with one operation."""

from django.contrib.auth.models import Group, Permission

from iotda_admin.access.roles import permission_named
from iotda_admin.access.scope import AnyUser


def target_limit(user: AnyUser, permission: str) -> int | None:
    """Return the most targets of an operation that needs this permission; None: no limit.

    The largest limit of the user's roles that have the permission counts. Other roles do
    not: without this rule, adding the viewer role would remove the limit.
    """
    if user.is_superuser:
        return None
    rows = Permission.objects.filter(permission_named(permission))
    roles = Group.objects.filter(user=user.pk, permissions__in=rows)
    limits = list(roles.values_list("limit__targets", flat=True))
    if None in limits or rows.filter(user=user.pk).exists():
        return None
    return max(limits, default=None)
