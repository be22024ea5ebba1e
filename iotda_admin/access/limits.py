"""The most targets that a user may change with one operation."""

from django.contrib.auth.models import Group

from iotda_admin.access.scope import AnyUser


def target_limit(user: AnyUser, permission: str) -> int | None:
    """Return the most targets of an operation that needs this permission; None: no limit.

    The largest limit of the user's roles that have the permission counts. Other roles do
    not: without this rule, adding the viewer role would remove the limit.
    """
    if user.is_superuser:
        return None
    app, _dot, codename = permission.partition(".")
    roles = Group.objects.filter(
        user=user.pk,
        permissions__content_type__app_label=app,
        permissions__codename=codename,
    )
    limits = list(roles.values_list("limit__targets", flat=True))
    own = {"content_type__app_label": app, "codename": codename}
    if None in limits or (
        user.is_authenticated and user.user_permissions.filter(**own).exists()
    ):
        return None
    return max(limits, default=None)
