"""Wrong passwords are counted for each account and address, and for each address: too many, and both wait.

Of our own, as django-axes keeps in plain text what was typed as a name, which may be a password by mistake.
"""

import ipaddress
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from iotda_admin.audit.record import record_event

# One address may be that of many people: it may fail so many times more often than one account.
ACCOUNTS = 10


class LoginTries(models.Model):
    # A digest of the name. Empty: all names that this address has tried.
    account = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=45)
    since = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    # The trail says once that it is locked, not for each try that is refused.
    told = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["account", "address"], name="login_tries_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.tries} from {self.address}"

    @property
    def until(self) -> datetime:
        return self.since + timedelta(minutes=settings.LOGIN_MINUTES)

    @property
    def locked(self) -> bool:
        return self.tries >= settings.LOGIN_TRIES * (1 if self.account else ACCOUNTS)


@transaction.atomic
def begin(name: str, address: str) -> int:
    """Count a try, before the password is looked at: many at once count too. Seconds to wait, or 0."""
    now = timezone.now()
    rows = [current(account, network(address), now) for account in (digest(name), "")]
    locked = max(
        (row for row in rows if row.locked), key=lambda row: row.until, default=None
    )
    if locked is None:
        for row in rows:
            row.tries += 1
            row.save()
        return 0
    if not locked.told:
        LoginTries.objects.filter(pk=locked.pk).update(told=True)
        tell(name, address, locked)
    return max(1, round((locked.until - now).total_seconds()))


def current(account: str, address: str, now: datetime) -> LoginTries:
    row, _new = LoginTries.objects.select_for_update().get_or_create(
        account=account, address=address, defaults={"since": now}
    )
    if row.until <= now:
        row.since, row.tries, row.told = now, 0, False
    return row


def tell(name: str, address: str, locked: LoginTries) -> None:
    known = User.objects.filter(username=name).first()
    record_event(
        "login.throttled",
        actor_id=known.pk if known and locked.account else None,
        actor_name=name if known and locked.account else "",
        source="web",
        address=address,
        outcome="denied",
        summary=f"{locked.tries} wrong passwords; locked until {locked.until:%H:%M} UTC",
    )


@transaction.atomic
def succeeded(name: str, address: str) -> None:
    rows = LoginTries.objects.filter(address=network(address))
    rows.filter(account=digest(name)).delete()
    rows.filter(account="", tries__gt=0).update(tries=models.F("tries") - 1)


def unlock(name: str) -> int:
    """Let an account sign in again, from wherever it was locked."""
    rows = LoginTries.objects.filter(account=digest(name))
    addresses = list(rows.values_list("address", flat=True))
    LoginTries.objects.filter(account="", address__in=addresses).delete()
    return rows.delete()[0]


def prune() -> None:
    """Run by the worker now and then."""
    old = timezone.now() - timedelta(minutes=settings.LOGIN_MINUTES)
    LoginTries.objects.filter(since__lt=old).delete()


def digest(name: str) -> str:
    return salted_hmac(__name__, name, algorithm="sha256").hexdigest()


def network(address: str) -> str:
    """Of IPv6 the part that a provider gives out: the rest is the caller's to choose."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped:
        # The same caller, by whichever socket; all of these would be one network.
        return str(ip if ip.version == 4 else ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False).network_address)
