"""Notice that machines of one site have different SECRET_KEYs.

A session that one of them signed is none for the others, so users are signed out.
"""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.utils.crypto import salted_hmac

from iotda_admin.health.models import SecretKeyDigest

DIFFERS = (
    "SECRET_KEY differs from the one that other machines use with this database: "
    "users would be signed out. Set the same SECRET_KEY on each machine. If you are "
    "changing it, put the former key into SECRET_KEY_FALLBACKS. If the former key is "
    "lost, run manage.py accept_secret_key; then all users sign in again."
)


def digest(key: str) -> str:
    return salted_hmac(__name__, "", secret=key, algorithm="sha256").hexdigest()


def secret_key_matches() -> bool:
    """Whether SECRET_KEY is the database's; the first key and a successor become it."""
    own = digest(settings.SECRET_KEY)
    stored, _new = SecretKeyDigest.objects.get_or_create(pk=1, defaults={"digest": own})
    if stored.digest in map(digest, settings.SECRET_KEY_FALLBACKS):
        accept_secret_key()
        return True
    return stored.digest == own


def accept_secret_key() -> None:
    """Make this machine's SECRET_KEY the database's."""
    own = digest(settings.SECRET_KEY)
    SecretKeyDigest.objects.update_or_create(pk=1, defaults={"digest": own})


def require_secret_key() -> None:
    """Stop the start of a web server whose SECRET_KEY is not the database's.

    It starts without its database all the same; /readyz makes the check again.
    """
    try:
        matches = secret_key_matches()
    except DatabaseError:
        matches = True
    if not connection.in_atomic_block:
        # The main thread answers no requests. The processes that are forked from this
        # one could not use its pool: a pool has threads.
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()  # type: ignore[attr-defined]
    if not matches:
        raise ImproperlyConfigured(DIFFERS)
