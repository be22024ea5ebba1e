from django.db import models


class Limit(models.Model):
    """How far a limit is used up, for all processes (GCRA, the generic cell rate algorithm)."""

    name = models.CharField(max_length=40, primary_key=True)
    # When the limit would be unused again ("theoretical arrival time"), in seconds since 1970.
    # By the database's clock: the machines' own clocks may differ by more than a slot.
    tat = models.FloatField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
