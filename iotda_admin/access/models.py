"""What Django's users and groups lack: resource spaces of a user, limits of a role."""

from django.contrib.auth.models import Group, User
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

# The app_id of a grant of every resource space, future ones included.
EVERY_SPACE = "*"


class Grant(models.Model):
    """A resource space in which a user sees devices and may use their permissions.

    A user without a grant sees no device.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="grants")
    app_id = models.CharField(_("resource space"), max_length=36)

    class Meta:
        db_table = "accounts_grant"
        default_permissions = ()
        verbose_name = _("resource space")
        verbose_name_plural = _("resource spaces")
        constraints = [
            models.UniqueConstraint(fields=["user", "app_id"], name="grant_once")
        ]

    def __str__(self) -> str:
        every = self.app_id == EVERY_SPACE
        return f"{self.user}: {_('every resource space') if every else self.app_id}"


class RoleLimit(models.Model):
    """The most targets that one operation of a role may have."""

    group = models.OneToOneField(Group, models.CASCADE, related_name="limit")
    targets = models.PositiveIntegerField(
        _("most targets of one operation"), validators=[MinValueValidator(1)]
    )

    class Meta:
        db_table = "accounts_cap"
        default_permissions = ()
        verbose_name = _("limit")
        verbose_name_plural = _("limit")

    def __str__(self) -> str:
        return f"{self.group}: {self.targets}"
