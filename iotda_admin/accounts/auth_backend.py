from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission
from django.db.models import Q, QuerySet

from iotda_admin.access.scope import can_see_space


class ScopedBackend(ModelBackend):
    """Check a permission in a resource space: `has_perm("devices.freeze_device", app_id)`."""

    def _get_user_permissions(self, user_obj: Any) -> QuerySet[Permission]:
        """Include the permissions of the user's roles: Django would query them apart."""
        return Permission.objects.filter(Q(user=user_obj) | Q(group__user=user_obj))

    def _get_group_permissions(self, user_obj: Any) -> QuerySet[Permission]:
        return Permission.objects.none()

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return super().has_perm(user_obj, perm) and (
            obj is None or can_see_space(user_obj, obj)
        )
