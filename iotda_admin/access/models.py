"""What Django's users and groups lack: resource spaces of a user, limits of a role."""

import uuid

from django.contrib.auth.models import Group, User
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
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


def new_form_id() -> str:
    return uuid.uuid4().hex


class KeptForm(models.Model):
    """A form that arrived without a valid session, for its user to send again."""

    class Reason(models.TextChoices):
        SESSION_ENDED = (
            "ended",
            _(
                "Nothing was sent: your session had ended. Check the form and send it"
                " again."
            ),
        )
        SIGNED_IN_AGAIN = (
            "signed_in",
            _(
                "Nothing was sent: you signed in again after you opened this form."
                " Check it and send it again."
            ),
        )

    id = models.CharField(max_length=32, primary_key=True, default=new_form_id)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    path = models.CharField(max_length=500)
    why = models.CharField(max_length=10, choices=Reason)
    # Compressed fields and files.
    content = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["user", "created_at"])]

    def __str__(self) -> str:
        return f"{self.path} of {self.user}"

    @property
    def notice(self) -> str:
        return str(self.Reason(self.why).label)
