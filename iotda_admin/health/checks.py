"""Check what the product needs, without calling IoTDA. Results are public."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import inf
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now
from django.utils import timezone

from iotda_admin.audit.triggers import triggers_intact
from iotda_admin.core.database import brief_transaction, set_option
from iotda_admin.health import workers
from iotda_admin.health.models import WriteCheck
from iotda_admin.health.secret_key import secret_key_matches
from iotda_admin.inventory.models import SyncRun
from iotda_admin.rate.platform_state import Kind, current_failure

log = logging.getLogger(__name__)

RESULTS = {True: "ok", False: "failed", None: "unknown"}
# Without one of these the product is not ready. IoTDA is not one of them: pages show the
# last sync, and a restart would not help.
VITAL = {"database", "disk", "migrations", "audit", "secret_key", "worker"}
# How long a write waits for the lock of another one. Recording 100,000 targets takes less.
LOCK_SECONDS = 4
# Anyone may call /readyz, so it does not write each time.
WRITE_SECONDS = 5.0
# An operation of 100,000 targets takes about 60 MB.
FREE_BYTES = 100_000_000


def run_checks() -> dict[str, str]:
    """Check the database first: without it every other check would time out."""
    there = passes(database_answers)
    others = {
        name: RESULTS[passes(check) if there else None]
        for name, check in CHECKS.items()
    }
    return {"database": RESULTS[there], **others}


def passes(check: Callable[[], bool | None]) -> bool | None:
    try:
        return check()
    except Exception as error:
        log.warning("%s: %s", check.__name__, error)
        return False


_written_at = -inf


def database_answers() -> bool:
    """Whether the database can be read, and could be written a few seconds ago.

    A locked, read-only or full one can be read all the same.
    """
    global _written_at
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if time.monotonic() - _written_at > WRITE_SECONDS:
        with short_waits():
            # Another value: SQLite writes no page for the same one.
            WriteCheck.objects.update_or_create(pk=1, defaults={"at": Now()})
        _written_at = time.monotonic()
    return True


@contextmanager
def short_waits() -> Iterator[None]:
    """Wait only LOCK_SECONDS for a lock in this block, which is a transaction."""
    with brief_transaction(LOCK_SECONDS):
        if connection.vendor == "postgresql":
            set_option(f"SET LOCAL statement_timeout = '{LOCK_SECONDS}s'")
        yield


def disk_has_room() -> bool:
    """Whether the disk of an SQLite database has room; another database has its own."""
    if connection.vendor != "sqlite":
        return True
    folder = Path(connection.settings_dict["NAME"]).resolve().parent
    return shutil.disk_usage(folder).free >= FREE_BYTES


_migrated = False


def migrated() -> bool:
    """Whether all migrations have run. Cached once true: the code does not change."""
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated


def worker_lives() -> bool:
    return workers.live_workers().exists()


def platform_answers() -> bool | None:
    """Whether the last calls and the last sync succeeded; unknown if that is too old."""
    failure = current_failure()
    if failure and failure.current and failure.kind != Kind.THROTTLED:
        return False
    last = SyncRun.objects.exclude(finished_at=None).first()
    if last is None or last.finished_at is None:
        return None
    if last.state == SyncRun.State.FAILED:
        return False
    old = timedelta(seconds=3 * settings.INVENTORY_REFRESH)
    return True if abs(timezone.now() - last.finished_at) < old else None


CHECKS: dict[str, Callable[[], bool | None]] = {
    "disk": disk_has_room,
    "migrations": migrated,
    "audit": triggers_intact,
    "secret_key": secret_key_matches,
    "worker": worker_lives,
    "platform": platform_answers,
}
