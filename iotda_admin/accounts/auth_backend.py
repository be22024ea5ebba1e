from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission
from django.db.models import Q

from iotda_admin.access.scope import can_see_space


class ScopedBackend(ModelBackend):
    """Check a permission in a resource space: `has_perm("devices.freeze_device", app_id)`."""

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Read the permissions of the user and of the user's roles at once."""
        if not user_obj.is_active or user_obj.is_anonymous or user_obj.is_superuser:
            return set(super().get_all_permissions(user_obj, obj))
        if not hasattr(user_obj, "_perm_cache"):
            held = Q(user=user_obj.pk) | Q(group__user=user_obj.pk)
            rows = Permission.objects.filter(held).order_by()
            labels = rows.values_list("content_type__app_label", "codename")
            user_obj._perm_cache = set(map(".".join, labels))
        permissions: set[str] = user_obj._perm_cache
        return permissions

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return super().has_perm(user_obj, perm) and (
            obj is None or can_see_space(user_obj, obj)
        )
