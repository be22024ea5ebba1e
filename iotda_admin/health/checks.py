"""Check what the product needs, without calling IoTDA. Results are public."""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from iotda_admin.audit.triggers import triggers_intact
from iotda_admin.health import workers
from iotda_admin.health.secret_key import secret_key_matches
from iotda_admin.inventory.models import SyncRun
from iotda_admin.rate.platform_state import Kind, current_failure

log = logging.getLogger(__name__)

RESULTS = {True: "ok", False: "failed", None: "unknown"}
# Without one of these the product is not ready. IoTDA is not one of them: pages show the
# last sync, and a restart would not help.
VITAL = {"database", "migrations", "audit", "secret_key", "worker"}


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


def database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone())


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
    return True if timezone.now() - last.finished_at < old else None


CHECKS: dict[str, Callable[[], bool | None]] = {
    "migrations": migrated,
    "audit": triggers_intact,
    "secret_key": secret_key_matches,
    "worker": worker_lives,
    "platform": platform_answers,
}
