from django.db import models


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
