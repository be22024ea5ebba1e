"""What Django's users and groups lack: where somebody may act, and on how much at once."""

from django.contrib.auth.models import Group, User
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from iotda_admin.accounts.throttle import LoginTries as LoginTries

# The app_id that stands for every resource space, those of tomorrow too.
EVERY = "*"


class Grant(models.Model):
    """A resource space that a user may see and, with the right, change things in. Without one: none."""

    user = models.ForeignKey(User, models.CASCADE, related_name="grants")
    app_id = models.CharField(_("resource space"), max_length=36)

    class Meta:
        default_permissions = ()
        verbose_name = _("resource space")
        verbose_name_plural = _("resource spaces")
        constraints = [
            models.UniqueConstraint(fields=["user", "app_id"], name="grant_once")
        ]

    def __str__(self) -> str:
        return f"{self.user}: {_('every resource space') if self.app_id == EVERY else self.app_id}"


class Cap(models.Model):
    """The most targets that one operation of this role may have."""

    group = models.OneToOneField(Group, models.CASCADE, related_name="cap")
    targets = models.PositiveIntegerField(
        _("most targets of one operation"), validators=[MinValueValidator(1)]
    )

    class Meta:
        default_permissions = ()
        verbose_name = _("limit")
        verbose_name_plural = _("limit")

    def __str__(self) -> str:
        return f"{self.group}: {self.targets}"
