"""The resource spaces in which somebody may act, and the most that they may change at once."""

from typing import Any

from django.contrib.auth.models import AnonymousUser, Group, User
from django.db.models import Exists, OuterRef, QuerySet

from iotda_admin.accounts.models import EVERY, Grant

type AnyUser = User | AnonymousUser


def spaces_of(user: AnyUser) -> frozenset[str] | None:
    """None: every resource space. Asked of the database once for each user object, so once a request."""
    if user.is_active and user.is_superuser:
        return None
    if not hasattr(user, "_spaces"):
        granted = Grant.objects.filter(user=user.pk).values_list("app_id", flat=True)
        user._spaces = frozenset(granted)  # type: ignore[union-attr]
    spaces: frozenset[str] = user._spaces  # type: ignore[union-attr]
    return None if EVERY in spaces else spaces


def as_they_are(pk: int | None) -> User | None:
    """A user as the database has them now. Asked for each claim of a large operation, so with the answer to
    what is asked next: whether they may act everywhere."""
    everywhere = Grant.objects.filter(user=OuterRef("pk"), app_id=EVERY)
    user = (
        User.objects.annotate(everywhere=Exists(everywhere)).filter(pk=pk or 0).first()
    )
    if user and user.everywhere:
        user._spaces = frozenset({EVERY})  # type: ignore[attr-defined]
    return user


def sees(user: AnyUser, app_id: str) -> bool:
    spaces = spaces_of(user)
    return spaces is None or app_id in spaces


def within[Rows: QuerySet[Any]](rows: Rows, user: AnyUser) -> Rows:
    """Those of the rows, each with its `app_id`, that are in the user's resource spaces."""
    spaces = spaces_of(user)
    return rows if spaces is None else rows.filter(app_id__in=sorted(spaces))


def cap_of(user: AnyUser, permission: str) -> int | None:
    """The most targets that an operation which needs this permission may have; None: as many as any.

    Only roles with that permission count, else being a viewer as well would lift the limit.
    """
    if user.is_superuser:
        return None
    app, _dot, codename = permission.partition(".")
    this = {"content_type__app_label": app, "codename": codename}
    roles = Group.objects.filter(
        user=user.pk,
        permissions__content_type__app_label=app,
        permissions__codename=codename,
    )
    caps = list(roles.values_list("cap__targets", flat=True))
    if None in caps or (
        user.is_authenticated and user.user_permissions.filter(**this).exists()
    ):
        return None
    return max(caps, default=None)
