from django.db import models


class Worker(models.Model):
    """A worker process, and when it last said that it lives: by the database's clock, as machines differ."""

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
