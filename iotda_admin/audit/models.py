from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Event(models.Model):
    """One thing that happened. Never changed, never deleted."""

    class Kind(models.TextChoices):
        OPERATION_ASKED = "operation.asked", _("Operation asked")
        OPERATION_ENDED = "operation.ended", _("Operation ended")
        OPERATION_CHECKED = "operation.checked", _("Operation looked up")
        OPERATION_CANCELLED = "operation.cancelled", _("Operation cancelled")
        DENIED = "denied", _("Not allowed")
        LOGIN = "login", _("Signed in")
        LOGIN_FAILED = "login.failed", _("Sign-in failed")
        LOGOUT = "logout", _("Signed out")
        EXPORT = "export", _("Exported")

    at = models.DateTimeField(default=timezone.now, db_index=True)
    kind = models.CharField(max_length=40, choices=Kind)
    # No foreign keys: a row must not change when an account goes.
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150, blank=True)
    role = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=10, blank=True)
    address = models.CharField(max_length=45, blank=True)
    operation = models.BigIntegerField(null=True, db_index=True)
    verb = models.CharField(max_length=40, blank=True)
    summary = models.CharField(max_length=500, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    ticket = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=200, blank=True)
    detail = models.JSONField(default=dict)

    class Meta:
        default_permissions = ("view",)
        permissions = [("export_event", _("Can export the audit trail"))]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind} {self.actor_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("An audit event is never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("An audit event is never deleted.")
