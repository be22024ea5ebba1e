from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class SyncRun(models.Model):
    """One reading of the whole platform into our tables."""

    class State(models.TextChoices):
        ASKED = "asked", _("Waiting")
        RUNNING = "running", _("Reading")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    state = models.CharField(max_length=10, choices=State, default=State.ASKED)
    asked_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # Touched while it runs: a run whose worker was killed is given up when this stands still.
    alive_at = models.DateTimeField(null=True)
    rows = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=600, blank=True)

    class Meta:
        default_permissions = ()
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=models.Q(state="running"),
                name="one_sync_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"sync {self.pk} {self.state}"

    @classmethod
    def fresh_at(cls) -> datetime | None:
        """The moment up to which the inventory is known to be true: the start of the last whole reading."""
        last = cls.objects.filter(state=cls.State.DONE).first()
        return last.started_at if last else None
