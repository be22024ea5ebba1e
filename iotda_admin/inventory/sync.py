"""Reads the whole platform into our tables: when asked, and when the last reading has grown old."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from iotda_admin.inventory.mirror import mirrors
from iotda_admin.inventory.models import SyncRun
from iotda_admin.iotda import Client, IotdaError
from iotda_admin.rate.connection import client as configured_client

log = logging.getLogger(__name__)

State = SyncRun.State
# A reading that says nothing for this long has lost its worker.
SILENCE_SECONDS = 120
# After a failed reading the next try comes sooner than after a good one.
FAILED_AGAIN_SECONDS = 30


def ask() -> SyncRun:
    """Ask the worker for a reading; one that waits or runs already serves everybody."""
    open_runs = SyncRun.objects.filter(state__in=[State.ASKED, State.RUNNING])
    return open_runs.first() or SyncRun.objects.create()


def sync_if_due() -> None:
    give_up_silent()
    run = SyncRun.objects.filter(state=State.ASKED).last()
    if run is None and is_due():
        run = SyncRun.objects.create()
    if run is not None:
        perform(run, configured_client())


def is_due() -> bool:
    last = SyncRun.objects.first()
    if last is None:
        return True
    if last.state in (State.ASKED, State.RUNNING) or last.finished_at is None:
        return False
    wait = settings.INVENTORY_REFRESH
    if last.state == State.FAILED:
        wait = min(wait, FAILED_AGAIN_SECONDS)
    return timezone.now() - last.finished_at > timedelta(seconds=wait)


def give_up_silent(seconds: float = SILENCE_SECONDS) -> None:
    silent_since = timezone.now() - timedelta(seconds=seconds)
    SyncRun.objects.filter(state=State.RUNNING, alive_at__lt=silent_since).update(
        state=State.FAILED,
        finished_at=timezone.now(),
        error="The worker stopped while reading.",
    )


def perform(run: SyncRun, client: Client) -> bool:
    """Carry out one reading. False if it failed, or if another worker took it."""
    if not begin(run):
        return False
    try:
        for mirror in mirrors():
            mirror.refresh(client, lambda rows: alive(run, rows))
    except IotdaError as error:
        log.warning("sync failed: %s", error)
        finish(run, State.FAILED, error.message)
        return False
    except BaseException:
        finish(run, State.FAILED, "Reading stopped by a fault of ours; see the log.")
        raise
    finish(run, State.DONE)
    return run.state == State.DONE


def begin(run: SyncRun) -> bool:
    now = timezone.now()
    try:
        with transaction.atomic():
            mine = SyncRun.objects.filter(pk=run.pk, state=State.ASKED).update(
                state=State.RUNNING, started_at=now, alive_at=now
            )
    except IntegrityError:
        return False
    run.refresh_from_db()
    return bool(mine)


def alive(run: SyncRun, rows: int) -> None:
    run.rows += rows
    SyncRun.objects.filter(pk=run.pk).update(alive_at=timezone.now(), rows=run.rows)


def finish(run: SyncRun, state: State, error: str = "") -> None:
    # Unless it was given up in between: then what it read may be mixed with another reading's.
    SyncRun.objects.filter(pk=run.pk, state=State.RUNNING).update(
        state=state, finished_at=timezone.now(), error=error[:600]
    )
    run.refresh_from_db()
    keep = SyncRun.objects.values_list("pk", flat=True)[:200]
    SyncRun.objects.exclude(pk__in=list(keep)).delete()
