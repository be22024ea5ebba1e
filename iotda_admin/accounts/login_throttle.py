"""Count failed logins for each account and address, and for each address; block both.

django-axes is not used: it stores the typed name as plain text, and users type passwords
as names by mistake.
"""

import ipaddress
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from iotda_admin.accounts.models import LoginTries
from iotda_admin.audit.record import record_event


@transaction.atomic
def count_attempt(name: str, address: str) -> int:
    """Count an attempt and return the seconds to wait, or 0.

    It runs before the password is checked, so that simultaneous attempts count too.
    """
    now = timezone.now()
    network = client_network(address)
    rows = [current_row(each, network, now) for each in (name_digest(name), "")]
    all_locked = [row for row in rows if row.locked]
    if not all_locked:
        for row in rows:
            row.tries += 1
            row.save()
        return 0
    locked = max(all_locked, key=lambda row: row.until)
    if not locked.told:
        locked.told = True
        locked.save()
        record_lockout(name, address, locked)
    return max(1, round((locked.until - now).total_seconds()))


def current_row(account: str, address: str, now: datetime) -> LoginTries:
    row, _new = LoginTries.objects.select_for_update().get_or_create(
        account=account, address=address, defaults={"since": now}
    )
    if row.until <= now:
        row.since, row.tries, row.told = now, 0, False
    elif row.since > now:
        # The clock was set back since: without this, the lock would last longer.
        row.since = now
        row.save(update_fields=["since"])
    return row


def record_lockout(name: str, address: str, locked: LoginTries) -> None:
    known = User.objects.filter(username=name if locked.account else "").first()
    record_event(
        "login.throttled",
        actor_id=known.pk if known else None,
        actor_name=name if known else "",
        source="web",
        address=address,
        outcome="denied",
        summary=f"{locked.tries} wrong passwords; locked until {locked.until:%Y-%m-%d %H:%M} UTC",
    )


@transaction.atomic
def clear_attempts(name: str, address: str) -> None:
    rows = LoginTries.objects.filter(address=client_network(address))
    rows.filter(account=name_digest(name)).delete()
    rows.filter(account="", tries__gt=0).update(tries=F("tries") - 1)


def unlock_account(name: str) -> int:
    """Unlock an account for all addresses; return the number of deleted rows."""
    rows = LoginTries.objects.filter(account=name_digest(name))
    LoginTries.objects.filter(account="", address__in=rows.values("address")).delete()
    return rows.delete()[0]


def prune_attempts() -> None:
    """Delete old rows; the worker calls this."""
    old = timezone.now() - timedelta(minutes=settings.LOGIN_MINUTES)
    LoginTries.objects.filter(since__lt=old).delete()


def name_digest(name: str) -> str:
    # The salt is an earlier name of this module; another one would unlock all accounts.
    return salted_hmac(
        "iotda_admin.accounts.login_throttle", name, algorithm="sha256"
    ).hexdigest()


def client_network(address: str) -> str:
    """Return the address; of IPv6 only the /64 network, as a client can choose the rest."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    # An IPv4 address in IPv6 form is one client; all of them share one /64 network.
    one_client = ip if ip.version == 4 else ip.ipv4_mapped
    return str(
        one_client or ipaddress.ip_network((ip, 64), strict=False).network_address
    )
