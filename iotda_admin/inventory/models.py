from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class SyncRun(models.Model):
    """One sync of all listings of IoTDA with our tables."""

    class State(models.TextChoices):
        REQUESTED = "asked", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    asked_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # The heartbeat of a running sync: without one its worker is dead.
    alive_at = models.DateTimeField(null=True)
    # The rows that were read, and the devices and bindings among them that are new or
    # changed; the rows that were deleted.
    rows = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    gone = models.PositiveIntegerField(default=0)
    # The calls to IoTDA, and those of them that failed.
    calls = models.PositiveIntegerField(default=0)
    failed_calls = models.PositiveIntegerField(default=0)
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

    @property
    def is_open(self) -> bool:
        """Return whether it waits or runs."""
        return self.state in (self.State.REQUESTED, self.State.RUNNING)

    @property
    def seconds(self) -> float:
        """Return how long it took, or takes so far."""
        if not self.started_at:
            return 0.0
        ended = self.finished_at or timezone.now()
        return max(0.0, (ended - self.started_at).total_seconds())

    def seconds_left(self) -> float | None:
        """Estimate how long it takes still; None without a complete sync before it."""
        if self.state != self.State.RUNNING or not self.rows:
            return None
        before = type(self).objects.filter(state=self.State.DONE, rows__gt=0).first()
        if before is None:
            return None
        return self.seconds * max(0, before.rows - self.rows) / self.rows

    @classmethod
    def fresh_at(cls) -> datetime | None:
        """Return the start of the last complete sync; the inventory holds until then."""
        last = cls.objects.filter(state=cls.State.DONE).first()
        return last.started_at if last else None


class MirrorState(models.Model):
    """How old one part of the inventory is: the table of a mirror."""

    table = models.CharField(max_length=64, primary_key=True)
    # The start of its last complete sync, and why the sync after that failed.
    fresh_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=600, blank=True)
    # How many rows of that sync could not be stored.
    skipped = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.table} of {self.fresh_at}"


class RemovedRow(models.Model):
    """A row of a mirror that an operation removed: an earlier read does not restore it."""

    table = models.CharField(max_length=64)
    # The values of the mirror's key, as JSON.
    key = models.TextField()
    removed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["table", "key"])]

    def __str__(self) -> str:
        return f"{self.key} of {self.table}"
