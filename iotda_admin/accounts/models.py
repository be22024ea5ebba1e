from datetime import datetime, timedelta

from django.conf import settings
from django.db import models

# Many users can share an address, so an address may fail this many times more often.
ADDRESS_FACTOR = 10


class LoginTries(models.Model):
    # A digest of the name; empty for all names that this address has used.
    account = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=45)
    since = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    # Whether the lockout is in the audit trail: it is recorded once, not per attempt.
    told = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["account", "address"], name="login_tries_once"
            )
        ]

    @property
    def until(self) -> datetime:
        return self.since + timedelta(minutes=settings.LOGIN_MINUTES)

    @property
    def locked(self) -> bool:
        return self.tries >= settings.LOGIN_TRIES * (
            1 if self.account else ADDRESS_FACTOR
        )
