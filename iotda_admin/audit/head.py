"""The end of the audit chain: in the database, and in a file outside it.

A database that was restored from a backup lacks the event that the file names. What was
requested before the backup may then have been done, and undone, since.
"""

import logging
import os
import threading
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from iotda_admin.audit.models import Event

log = logging.getLogger(__name__)


class Head(NamedTuple):
    """The end of the chain. Kept outside the database, it proves a missing tail."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def chain_head() -> Head:
    # The last event is never archived, because archiving appends an event. Raw SQL,
    # because a large operation appends events every few requests.
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, hash FROM audit_event ORDER BY id DESC LIMIT 1")
        return Head(*(cursor.fetchone() or (0, "")))


# What an unreadable file counts as: an event that no database has.
UNREADABLE = Head(2**63 - 1, "")


def head_file() -> Path:
    return Path(settings.DATA_DIR) / "audit-head"


def known_head() -> Head | None:
    """Return the newest event that a process of this machine recorded; None at first."""
    try:
        seq, _colon, digest = head_file().read_text().strip().partition(":")
        return Head(int(seq), digest)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read: %s", head_file(), error)
        return UNREADABLE


def database_is_older() -> bool:
    """Whether the database lacks the newest event that this machine knows."""
    known = known_head()
    return known is not None and not is_in_database(known)


def is_in_database(head: Head) -> bool:
    found = Event.objects.filter(pk=head.seq).values_list("hash", flat=True).first()
    # Events in the middle can be archived, the last cannot.
    return found == head.hash if found else 0 < head.seq < chain_head().seq


def remember_head(before: Head, end: Head) -> None:
    """Write the new end of the chain to the file once its transaction is committed.

    Unless the database lacks the event of the file: `database_is_older` then reports it,
    and `adopt_head` ends it.
    """
    known = known_head()
    if known in (None, before) or (known.seq < before.seq and is_in_database(known)):
        transaction.on_commit(lambda: write_head(end))


def adopt_head() -> None:
    """Accept the database as it is, once its open work is held."""
    write_head(chain_head())


def write_head(head: Head) -> None:
    """Replace the file at once, so that no process reads half of it."""
    new = head_file().with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    try:
        new.write_text(f"{head}\n")
        new.replace(head_file())
    except OSError as error:
        log.warning("%s cannot be written: %s", head_file(), error)


def log_head() -> None:
    """Log the head; a job of the worker, for times when few events are appended.

    The machine remembers it, too, if other machines have appended.
    """
    head = chain_head()
    log.info("Audit head %s", head)
    if not database_is_older():
        transaction.on_commit(lambda: write_head(head))
