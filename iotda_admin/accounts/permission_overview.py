"""The page that shows the permissions, spaces and limits of each user.

It reads the tables that the permission checks read.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.views.decorators.http import require_safe

from devices.models import Space
from iotda_admin.access.models import EVERY_SPACE
from iotda_admin.access.roles import PERMISSIONS, permission_label
from iotda_admin.access.scope import AnyUser, can_see_space
from iotda_admin.core.http import render
from iotda_admin.core.pagination import paginate

# The name of a permission of a user, and the most targets of one operation; None: no limit.
type HeldPermission = tuple[str | Promise, int | None]


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
    page = paginate(users_with_permission(label), request, key="username")
    names = dict(Space.objects.values_list("app_id", "name"))
    context = {
        "page": page,
        "rows": [user_access(user, names, request.user) for user in page.items],
        "selected": label,
        "choices": PERMISSIONS,
    }
    return render(request, "accounts/permission_overview.html", context, part="list")


def users_with_permission(label: str) -> QuerySet[User]:
    """Return all users, or those who can use this permission in some space."""
    users = User.objects.prefetch_related(
        "groups__permissions__content_type",
        "groups__limit",
        "user_permissions__content_type",
        "grants",
    )
    if label not in PERMISSIONS:
        return users
    in_some_space = Q(is_superuser=True) | ~Q(grants=None)
    return users.filter(pk__in=User.objects.with_perm(label).filter(in_some_space))


def user_access(user: User, names: dict[str, str], reader: AnyUser) -> UserAccess:
    spaces = {grant.app_id for grant in user.grants.all()}
    seen = {app_id for app_id in spaces if can_see_space(reader, app_id)}
    permissions = list(held_permissions(user)) if user.is_active else []
    shown = None
    if not user.is_superuser and EVERY_SPACE not in spaces:
        shown = sorted(names.get(app_id, app_id) for app_id in seen)
    return UserAccess(user, permissions, shown, len(spaces - seen))


def held_permissions(user: User) -> Iterator[HeldPermission]:
    own = set(map(permission_label, user.user_permissions.all()))
    limits = defaultdict(list)
    for role in user.groups.all():
        for permission in role.permissions.all():
            limits[permission_label(permission)].append(getattr(role, "limit", None))
    for label, declared in PERMISSIONS.items():
        if user.is_superuser or label in own or None in limits[label]:
            yield declared.name, None
        elif limits[label]:
            limit = max(limit.targets for limit in limits[label] if limit)
            yield declared.name, limit if declared.limited else None
