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


class SecretKeyDigest(models.Model):
    """A digest of the SECRET_KEY that all machines of this site use; a single row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    digest = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.digest


class WriteCheck(models.Model):
    """The last time that a web server found the database writable; a single row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.at)
