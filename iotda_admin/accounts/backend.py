from typing import Any

from django.contrib.auth.backends import ModelBackend

from iotda_admin.access.scope import can_see_space


class ScopedBackend(ModelBackend):
    """The object of a permission is a resource space's id: `has_perm("devices.freeze_device", app_id)`."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return super().has_perm(user_obj, perm) and (
            obj is None or can_see_space(user_obj, obj)
        )
