"""The page that shows the permissions, spaces and limits of each user.

It reads the tables that the permission checks read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import Permission, User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.views.decorators.http import require_safe

from devices.models import Space
from iotda_admin.access.models import EVERY_SPACE
from iotda_admin.access.roles import PERMISSIONS
from iotda_admin.access.scope import AnyUser, can_see_space
from iotda_admin.core.http import render
from iotda_admin.core.pagination import paginate


@dataclass(frozen=True, slots=True)
class HeldPermission:
    """A permission of a user, and the most targets of one operation; None: no limit."""

    name: str | Promise
    limit: int | None


@dataclass(frozen=True, slots=True)
class UserAccess:
    """A row of the page.

    spaces names the user's spaces that the reader can see; None: every space.
    elsewhere is the number of the other ones.
    """

    user: User
    permissions: list[HeldPermission]
    spaces: list[str] | None
    elsewhere: int = 0


@require_safe
@permission_required("audit.view_event", raise_exception=True)
def permission_overview(request: HttpRequest) -> HttpResponse:
    label = request.GET.get("right", "")
    label = label if label in PERMISSIONS else ""
    page = paginate(users_with_permission(label), request, key="username")
    names = dict(Space.objects.values_list("app_id", "name"))
    context = {
        "page": page,
        "rows": [user_access(user, names, request.user) for user in page.items],
        "selected": label,
        "choices": [(label, each.name) for label, each in PERMISSIONS.items()],
    }
    return render(request, "accounts/permission_overview.html", context, part="list")


def users_with_permission(label: str) -> QuerySet[User]:
    """Return all users, or those who can use this permission in some space."""
    links = (
        "groups__permissions__content_type",
        "groups__limit",
        "user_permissions__content_type",
        "grants",
    )
    users = User.objects.prefetch_related(*links)
    if not label:
        return users
    app, _dot, codename = label.partition(".")
    rows = Permission.objects.filter(content_type__app_label=app, codename=codename)
    held = Q(groups__permissions__in=rows) | Q(user_permissions__in=rows)
    ids = User.objects.filter(
        Q(is_superuser=True) | held & ~Q(grants=None), is_active=True
    ).values("pk")
    return users.filter(pk__in=ids)


def user_access(user: User, names: dict[str, str], reader: AnyUser) -> UserAccess:
    spaces = {grant.app_id for grant in user.grants.all()}
    everywhere = user.is_superuser or EVERY_SPACE in spaces
    seen = {app_id for app_id in spaces if can_see_space(reader, app_id)}
    return UserAccess(
        user,
        list(held_permissions(user)) if user.is_active else [],
        None if everywhere else sorted(names.get(app_id, app_id) for app_id in seen),
        len(spaces - seen),
    )


def held_permissions(user: User) -> Iterator[HeldPermission]:
    own = permission_labels(user.user_permissions.all())
    by_role = [
        (getattr(group, "limit", None), permission_labels(group.permissions.all()))
        for group in user.groups.all()
    ]
    for label, declared in PERMISSIONS.items():
        limits = [
            limit.targets if limit else None for limit, held in by_role if label in held
        ]
        if user.is_superuser or label in own or None in limits:
            yield HeldPermission(declared.name, None)
        elif limits:
            limit = max(limit for limit in limits if limit is not None)
            yield HeldPermission(declared.name, limit if declared.limited else None)


def permission_labels(permissions: QuerySet[Permission]) -> set[str]:
    return {f"{each.content_type.app_label}.{each.codename}" for each in permissions}
