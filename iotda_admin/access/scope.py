"""The resource spaces in which a user may act."""

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Exists, OuterRef, QuerySet

from iotda_admin.access.models import EVERY_SPACE, Grant

type AnyUser = User | AnonymousUser


def user_spaces(user: AnyUser) -> frozenset[str] | None:
    """Return the resource spaces of a user; None: every space.

    The result is kept on the user object, so a request queries it once.
    """
    if user.is_active and user.is_superuser:
        return None
    if not hasattr(user, "_spaces"):
        granted = Grant.objects.filter(user=user.pk).values_list("app_id", flat=True)
        user._spaces = frozenset(granted)  # type: ignore[union-attr]
    spaces: frozenset[str] = user._spaces  # type: ignore[union-attr]
    return None if EVERY_SPACE in spaces else spaces


def load_actor_user(pk: int | None) -> User | None:
    """Read a user again, with the answer to whether they have every space.

    Each claim of a large operation calls this and then `user_spaces`: one query, not two.
    """
    everywhere = Grant.objects.filter(user=OuterRef("pk"), app_id=EVERY_SPACE)
    users = User.objects.annotate(everywhere=Exists(everywhere))
    user = users.filter(pk=pk or 0).first()
    if user and user.everywhere:
        user._spaces = frozenset({EVERY_SPACE})  # type: ignore[attr-defined]
    return user


def can_see_space(user: AnyUser, app_id: str) -> bool:
    spaces = user_spaces(user)
    return spaces is None or app_id in spaces


def in_scope[Rows: QuerySet[Any]](rows: Rows, user: AnyUser) -> Rows:
    """Narrow rows that have an `app_id` to the user's resource spaces."""
    spaces = user_spaces(user)
    return rows if spaces is None else rows.filter(app_id__in=sorted(spaces))
