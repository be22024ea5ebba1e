"""Sync the inventory with IoTDA, on request and at intervals."""

import logging
import math
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from iotda_admin.access.scope import user_spaces
from iotda_admin.inventory.connection_errors import explain_error
from iotda_admin.inventory.mirror import Mirror, mirrors
from iotda_admin.inventory.models import MirrorState, RemovedRow, SyncRun
from iotda_admin.inventory.progress import SyncProgress
from iotda_admin.iotda import Client, IotdaError
from iotda_admin.rate.connection import client as configured_client
from iotda_admin.rate.hook import YieldingRateLimiter

log = logging.getLogger(__name__)

State = SyncRun.State
# A sync without a heartbeat for this long has lost its worker.
SILENCE_SECONDS = 120
# After a failed sync the next one starts sooner than INVENTORY_REFRESH says.
RETRY_SECONDS = 30
# The least seconds between the end of a sync and the start of a requested one.
REST_SECONDS = 5
# A page that was requested before a removal is stored sooner than this after it.
PAGE_READ_TIME = timedelta(minutes=5)
# Changes go first at the rate limit.
rate_limiter = YieldingRateLimiter()


def request_sync() -> SyncRun:
    """Ask the worker for a sync; one that waits or runs already serves everyone.

    ``seconds_until_sync`` says when the worker starts it.
    """
    open_runs = SyncRun.objects.filter(state__in=[State.REQUESTED, State.RUNNING])
    return open_runs.first() or SyncRun.objects.create()


def sees_counts(user: User | AnonymousUser) -> bool:
    """Return whether the user may see every device, and so how many there are."""
    return user_spaces(user) is None


def sync_if_due() -> None:
    fail_silent_runs()
    if SyncRun.objects.filter(state=State.RUNNING).exists():
        return
    run = SyncRun.objects.filter(state=State.REQUESTED).last()
    if not seconds_until_sync(requested=run is not None):
        run_sync(run or SyncRun.objects.create(), configured_client())


def seconds_until_sync(*, requested: bool = False) -> int:
    """Return in how many seconds the worker starts the next sync.

    A requested one waits as long as the last one took, so that users who request one
    after another take at most half of the calls that IoTDA allows.
    """
    last = SyncRun.objects.exclude(finished_at=None).first()
    if last is None or last.finished_at is None:
        return 0
    wait: float = settings.INVENTORY_REFRESH
    if last.state == State.FAILED:
        wait = min(wait, RETRY_SECONDS)
    if requested:
        took = last.finished_at - (last.started_at or last.finished_at)
        wait = min(wait, max(took.total_seconds(), REST_SECONDS))
    ago = (timezone.now() - last.finished_at).total_seconds()
    # An end in the future is from before the clock was set back.
    return math.ceil(max(0, wait - ago)) if ago >= 0 else 0


def fail_silent_runs(seconds: float = SILENCE_SECONDS) -> None:
    now, silence = timezone.now(), timedelta(seconds=seconds)
    silent = Q(alive_at__lt=now - silence) | Q(alive_at__gt=now + silence)
    SyncRun.objects.filter(silent, state=State.RUNNING).update(
        state=State.FAILED,
        finished_at=now,
        error="The worker stopped during the sync.",
    )


def run_sync(run: SyncRun, client: Client) -> bool:
    """Sync all mirrors, also after one has failed.

    Return False if one failed or another worker has the run.
    """
    if not claim_run(run):
        return False
    progress, failed = SyncProgress(run), {}
    client = client.limited_by(rate_limiter).observed_by(progress.observe)
    try:
        for mirror in mirrors():
            if error := sync_mirror(mirror, progress, client):
                failed[mirror.title] = error
        progress.write()
    except BaseException:
        finish_run(run, State.FAILED, "The sync failed because of a bug; see the log.")
        raise
    # Parts that failed for the same reason are named together.
    reasons = {
        error: [str(title) for title in failed if failed[title] == error]
        for error in failed.values()
    }
    text = " ".join(
        f"{', '.join(titles)}: {error}" for error, titles in reasons.items()
    )
    finish_run(run, State.FAILED if failed else State.DONE, text)
    return run.state == State.DONE


def sync_mirror(mirror: Mirror, progress: SyncProgress, client: Client) -> str:
    """Sync one mirror, and record how old it is. Return why it failed, or nothing."""
    started, error = timezone.now(), ""
    reset_future_reads(mirror)
    try:
        mirror.refresh(client, partial(progress.add, mirror))
    except IotdaError as failure:
        log.warning("sync of %s failed: %s", mirror.table, failure)
        error = explain_with_message(failure)
        progress.add(mirror, 0)
    facts: dict[str, Any] = {"error": error[:600], "skipped": len(mirror.skipped)}
    if not error:
        facts["fresh_at"] = started
    MirrorState.objects.update_or_create(table=mirror.table, defaults=facts)
    return error


def reset_future_reads(mirror: Mirror) -> None:
    """Let this sync replace what was read before the clock was set back."""
    now = timezone.now()
    rows = mirror.model._default_manager.filter(read_at__gt=now + PAGE_READ_TIME)
    rows.update(read_at=now)
    removed = RemovedRow.objects.filter(table=mirror.table)
    removed.filter(removed_at__gt=now + PAGE_READ_TIME).delete()


def explain_with_message(error: IotdaError) -> str:
    """Explain an error in our words, and quote the platform's if these do not."""
    text = explain_error(error)
    if not error.message or error.message in text:
        return text
    return f"{text} IoTDA: “{error.message}”"


def claim_run(run: SyncRun) -> bool:
    now = timezone.now()
    try:
        with transaction.atomic():
            claimed = SyncRun.objects.filter(pk=run.pk, state=State.REQUESTED).update(
                state=State.RUNNING, started_at=now, alive_at=now
            )
    except IntegrityError:  # Another sync is running.
        return False
    run.refresh_from_db()
    return bool(claimed)


def finish_run(run: SyncRun, state: State, error: str = "") -> None:
    # A run that was given up stays failed: another sync may have run at the same time.
    SyncRun.objects.filter(pk=run.pk, state=State.RUNNING).update(
        state=state, finished_at=timezone.now(), error=error[:600]
    )
    run.refresh_from_db()
    # No read that began before their removal is under way any more.
    started = run.started_at or timezone.now()
    RemovedRow.objects.filter(removed_at__lt=started - PAGE_READ_TIME).delete()
    keep = SyncRun.objects.values_list("pk", flat=True)[:200]
    SyncRun.objects.exclude(pk__in=list(keep)).delete()
