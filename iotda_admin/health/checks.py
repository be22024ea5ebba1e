"""What this product needs, looked at without a call to IoTDA. The words are for everybody."""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from iotda_admin.audit.triggers import triggers_intact
from iotda_admin.health import workers
from iotda_admin.inventory.models import SyncRun

log = logging.getLogger(__name__)

WORDS = {True: "ok", False: "failed", None: "unknown"}
# Without one of these nothing can be done here. That IoTDA does not answer is none: pages still show what was
# read before, and a restart would not help.
VITAL = {"database", "migrations", "audit", "worker"}


def look() -> dict[str, str]:
    """The database first: where it is gone, each further look would wait for it in vain."""
    there = holds(database_answers)
    others = {
        name: WORDS[holds(check) if there else None] for name, check in CHECKS.items()
    }
    return {"database": WORDS[there], **others}


def holds(check: Callable[[], bool | None]) -> bool | None:
    try:
        return check()
    except Exception as error:
        log.warning("%s: %s", check.__name__, error)
        return False


def database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone())


_migrated = False


def migrated() -> bool:
    """Once it is so it stays so: this code does not change any more."""
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated


def worker_lives() -> bool:
    return workers.alive().exists()


def platform_answers() -> bool | None:
    """As the last reading of the inventory found it. Unknown when there was none for long."""
    last = SyncRun.objects.exclude(finished_at=None).first()
    if last is None or last.finished_at is None:
        return None
    if last.state == SyncRun.State.FAILED:
        return False
    old = timedelta(seconds=3 * settings.INVENTORY_REFRESH)
    return True if timezone.now() - last.finished_at < old else None


CHECKS: dict[str, Callable[[], bool | None]] = {
    "migrations": migrated,
    "audit": triggers_intact,
    "worker": worker_lives,
    "platform": platform_answers,
}
