"""Who can do what, where, and how much of it at once: read from the same tables that decide it."""

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
class Right:
    """limit: the most targets of one operation, None where no role limits it."""

    name: str | Promise
    limit: int | None


@dataclass(frozen=True, slots=True)
class Holder:
    user: User
    rights: list[Right]
    # None: every one. By name those that the reader may see too, the others as a number.
    spaces: list[str] | None
    elsewhere: int = 0


@require_safe
@permission_required("audit.view_event", raise_exception=True)
def rights(request: HttpRequest) -> HttpResponse:
    asked = request.GET.get("right", "")
    right = asked if asked in PERMISSIONS else ""
    page = paginate(holders(right), request, key="username")
    names = dict(Space.objects.values_list("app_id", "name"))
    context = {
        "page": page,
        "rows": [holder(user, names, request.user) for user in page.items],
        "right": right,
        "choices": [(label, each.name) for label, each in PERMISSIONS.items()],
    }
    return render(request, "accounts/rights.html", context, part="list")


def holders(right: str) -> QuerySet[User]:
    """All users; with a right, those who can use it somewhere."""
    links = (
        "groups__permissions__content_type",
        "groups__limit",
        "user_permissions__content_type",
        "grants",
    )
    users = User.objects.prefetch_related(*links)
    if not right:
        return users
    app, _dot, codename = right.partition(".")
    this = Permission.objects.filter(content_type__app_label=app, codename=codename)
    has = Q(groups__permissions__in=this) | Q(user_permissions__in=this)
    ids = User.objects.filter(
        Q(is_superuser=True) | has & ~Q(grants=None), is_active=True
    ).values("pk")
    return users.filter(pk__in=ids)


def holder(user: User, names: dict[str, str], reader: AnyUser) -> Holder:
    spaces = {grant.app_id for grant in user.grants.all()}
    everywhere = user.is_superuser or EVERY_SPACE in spaces
    seen = {app_id for app_id in spaces if can_see_space(reader, app_id)}
    return Holder(
        user,
        list(rights_of(user)) if user.is_active else [],
        None if everywhere else sorted(names.get(app_id, app_id) for app_id in seen),
        len(spaces - seen),
    )


def rights_of(user: User) -> Iterator[Right]:
    own = labels(user.user_permissions.all())
    by_role = [
        (getattr(group, "limit", None), labels(group.permissions.all()))
        for group in user.groups.all()
    ]
    for label, declared in PERMISSIONS.items():
        limits = [
            limit.targets if limit else None for limit, held in by_role if label in held
        ]
        if user.is_superuser or label in own or None in limits:
            yield Right(declared.name, None)
        elif limits:
            limit = max(limit for limit in limits if limit is not None)
            yield Right(declared.name, limit if declared.limited else None)


def labels(permissions: QuerySet[Permission]) -> set[str]:
    return {f"{each.content_type.app_label}.{each.codename}" for each in permissions}
