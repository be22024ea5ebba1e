from django.db import models
from django.utils.translation import gettext_lazy as _


class Limit(models.Model):
    """The state of a rate limit, shared by all processes.

    It follows GCRA, the generic cell rate algorithm.
    """

    name = models.CharField(max_length=40, primary_key=True)
    # GCRA's theoretical arrival time: when the whole burst is free again, in seconds
    # since 1970. By the database's clock: the clocks of the machines may differ by
    # more than a slot.
    tat = models.FloatField()
    # A pause that IoTDA asked for, up to an hour: no slot before its end, no burst
    # right after it.
    paused_from = models.FloatField(db_default=0.0)
    paused_to = models.FloatField(db_default=0.0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class PlatformState(models.Model):
    """How IoTDA answers, by the last calls of all processes; a single row.

    Times are in seconds since 1970, by the database's clock.
    """

    class Kind(models.TextChoices):
        ANSWERING = "", _("Answering")
        THROTTLED = "throttled", _("Throttled")
        UNREACHABLE = "unreachable", _("Not reachable")
        REFUSED = "refused", _("Credentials refused")

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    kind = models.CharField(max_length=20, choices=Kind)
    # The first and the last of the calls in a row that failed in this way.
    since = models.FloatField()
    failed_at = models.FloatField()
    failures = models.PositiveIntegerField()
    # The end of the longest pause that IoTDA asked for.
    paused_to = models.FloatField()
    # The facts of the last error, as JSON.
    error = models.TextField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.kind or "answering"
