"""Resolve failures that are over according to the inventory."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from iotda_admin.audit.record import record_event
from iotda_admin.failures.assignments import carry_over, failure_columns
from iotda_admin.failures.models import AutoResolveProgress
from iotda_admin.failures.queries import by_operation
from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations.error_codes import DEVICE_MISSING
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.open_failures import mark_resolved, unresolved_failures
from iotda_admin.operations.verbs import get_verb

# Failures compared in one call; the next call of the worker continues below them.
BATCH_SIZE = 5000
ABOVE_ALL = 2**63 - 1
AS_REQUESTED = "inventory: the target is as requested"
GONE = "inventory: the target no longer exists"


def resolve_by_inventory() -> None:
    """Compare open failures with a new sync, one batch per call of the worker."""
    carry_over()
    if synced_at := SyncRun.fresh_at():
        progress, _new = AutoResolveProgress.objects.get_or_create(
            pk=1, defaults={"fresh_at": synced_at, "reached": ABOVE_ALL}
        )
        if progress.fresh_at < synced_at or progress.reached:
            resolve_batch(synced_at)


@transaction.atomic
def resolve_batch(synced_at: datetime) -> None:
    progress = AutoResolveProgress.objects.select_for_update(skip_locked=True).first()
    if progress is None:  # Another worker holds it.
        return
    if progress.fresh_at < synced_at:
        progress.fresh_at, progress.reached = synced_at, ABOVE_ALL
    targets = failures_before(progress.fresh_at, progress.reached)
    progress.reached = targets[-1].pk if len(targets) == BATCH_SIZE else 0
    progress.save()
    resolved = defaultdict(list)
    for operation, group in by_operation(targets).items():
        for target, reason in reasons(operation, group):
            resolved[reason].append(target)
    for reason, group in resolved.items():
        keys = [target.pk for target in group]
        rows = Target.objects.filter(pk__in=keys, resolved_at=None)
        if mark_resolved(rows, reason):
            columns = failure_columns(group, f"resolved by the {reason}")
            record_event("failure.solved", source="worker", **columns)


def failures_before(synced_at: datetime, below: int) -> list[Target]:
    """Return open failures that ended before a sync; it cannot show later ones."""
    ended = Q(settled_at__lt=synced_at)
    ended |= Q(settled_at=None, chunk__sent_at__lt=synced_at)
    rows = unresolved_failures().filter(ended, pk__lt=below).order_by("-pk")
    return list(rows.select_related("operation")[:BATCH_SIZE])


def reasons(
    operation: Operation, targets: Sequence[Target]
) -> Iterator[tuple[Target, str]]:
    """Yield the targets whose failure is over, and why."""
    inventory = get_verb(operation.verb).inventory
    ids = [target.target_id for target in targets]
    as_requested = inventory.standing(ids, operation)
    rows = inventory.rows(operation.target_type, ids).order_by()
    existing = set(rows.values_list("pk", flat=True))
    for target in targets:
        if as_requested.get(target.target_id):
            yield target, AS_REQUESTED
        # If the failure is that IoTDA does not know the target, a user has to see it.
        elif target.target_id not in existing and target.error_code != DEVICE_MISSING:
            yield target, GONE
