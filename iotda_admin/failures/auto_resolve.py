"""Failures that are over, as far as IoTDA itself shows: the inventory is held against them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from iotda_admin.audit.record import record_event
from iotda_admin.failures.assignments import carry, failures
from iotda_admin.failures.models import Look
from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations.error_codes import DEVICE_MISSING
from iotda_admin.operations.models import Operation, Target, space_of
from iotda_admin.operations.open_failures import solve, unsolved
from iotda_admin.operations.verbs import get_verb

# Looked at in one go; the next call of the worker goes on from there.
TOGETHER = 5000
ABOVE_ALL = 2**63 - 1
AS_ASKED = "inventory: it stands as asked"
GONE = "inventory: it is no longer there"


def look() -> None:
    """Run again and again by the worker; mostly there is nothing new to be looked at."""
    carry()
    fresh = SyncRun.fresh_at()
    last = Look.objects.first()
    if fresh and (last is None or last.fresh_at < fresh or last.reached):
        go_on(fresh)


@transaction.atomic
def go_on(fresh: datetime) -> None:
    Look.objects.get_or_create(pk=1, defaults={"fresh_at": fresh, "reached": ABOVE_ALL})
    # Another worker is at it: then it is done.
    at = Look.objects.select_for_update(skip_locked=True).first()
    if at is None:
        return
    if at.fresh_at < fresh:
        at.fresh_at, at.reached = fresh, ABOVE_ALL
    rows = before(at.fresh_at, at.reached)
    at.reached = rows[-1].pk if len(rows) == TOGETHER else 0
    at.save()
    settle(rows)


def before(fresh: datetime, reached: int) -> list[Target]:
    """Open failures from before that reading: of later ones it tells nothing."""
    ended = Q(settled_at__lt=fresh) | Q(settled_at=None, chunk__sent_at__lt=fresh)
    rows = (
        unsolved()
        .filter(ended, pk__lt=reached)
        .order_by("-pk")
        .select_related("operation")
    )
    return list(rows[:TOGETHER])


def settle(rows: Sequence[Target]) -> None:
    by_operation: dict[Operation, list[Target]] = defaultdict(list)
    for target in rows:
        by_operation[target.operation].append(target)
    stands: list[Target] = []
    gone: list[Target] = []
    for operation, targets in by_operation.items():
        judge(operation, targets, stands, gone)
    over(stands, AS_ASKED)
    over(gone, GONE)


def judge(
    operation: Operation,
    targets: list[Target],
    stands: list[Target],
    gone: list[Target],
) -> None:
    verb, ids = get_verb(operation.verb), [target.target_id for target in targets]
    says = verb.inventory.standing(ids, operation)
    there = set(
        verb.inventory.rows(operation.target_type, ids)
        .order_by()
        .values_list("pk", flat=True)
    )
    for target in targets:
        if says.get(target.target_id):
            stands.append(target)
        # That IoTDA does not know it was the failure: somebody has to see that.
        elif target.target_id not in there and target.error_code != DEVICE_MISSING:
            gone.append(target)


def over(targets: Sequence[Target], why: str) -> None:
    if targets and solve(
        Target.objects.filter(pk__in=[target.pk for target in targets], solved_at=None),
        why,
    ):
        operations = {target.operation_id for target in targets}
        record_event(
            "failure.solved",
            source="worker",
            space=space_of(operations),
            targets=[(target.target_id, target.name) for target in targets],
            summary=f"{failures(len(targets))} solved by the {why}",
            detail={"operations": sorted(operations)[:100]},
        )
