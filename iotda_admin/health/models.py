from django.db import models


class Worker(models.Model):
    """A worker process and its last heartbeat, by the clock of the database."""

    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["host", "pid"], name="worker_once")
        ]

    def __str__(self) -> str:
        return f"worker {self.pid} on {self.host}"
