from django.db import models


class Limit(models.Model):
    """How far a limit is used up, for all processes (GCRA, the generic cell rate algorithm)."""

    name = models.CharField(max_length=40, primary_key=True)
    # When the limit would be unused again ("theoretical arrival time"), in seconds since 1970.
    # By the database's clock: the machines' own clocks may differ by more than a slot.
    tat = models.FloatField()
    # A pause the platform asked for may be an hour long: no slot before its end, and no burst after it.
    paused_from = models.FloatField(db_default=0.0)
    paused_to = models.FloatField(db_default=0.0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
