"""Assign, resolve and reopen failures; each change is recorded in the audit trail."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from iotda_admin.audit.record import record_event, record_request_event
from iotda_admin.failures.models import Assignment
from iotda_admin.failures.selection import FailureSelection
from iotda_admin.operations.models import Target, space_of
from iotda_admin.operations.open_failures import FAILED_AGAIN

BATCH_SIZE = 500
CARRIED_OVER = ("assignee_id", "assignee_name", "note", "ticket")


@transaction.atomic
def assign(selection: FailureSelection, done: str, **fields: Any) -> None:
    """Set fields of the assignments; `done` says in the summary what was done."""
    save_assignments(selection.keys, **fields)
    reason, ticket = fields.get("note", ""), fields.get("ticket", "")
    record_selection("failure.noted", selection, done, reason=reason, ticket=ticket)


@transaction.atomic
def resolve_by_hand(selection: FailureSelection, reason: str) -> None:
    now, name = timezone.now(), selection.request.user.get_username()
    save_assignments(selection.keys, closed_at=now)
    open_ones = Target.objects.filter(pk__in=selection.keys, resolved_at=None)
    open_ones.update(resolved_at=now, resolved_by=f"{name}: {reason}"[:200])
    record_selection("failure.solved", selection, "resolved by hand", reason=reason)


@transaction.atomic
def reopen(selection: FailureSelection) -> None:
    save_assignments(selection.keys, closed_at=None)
    targets = Target.objects.filter(pk__in=selection.keys)
    targets.update(resolved_at=None, resolved_by="")
    record_selection("failure.noted", selection, "reopened")


def save_assignments(targets: Iterable[int], **fields: object) -> None:
    Assignment.objects.bulk_create(
        [Assignment(target_id=pk, **fields) for pk in targets],
        update_conflicts=True,
        unique_fields=["target"],
        update_fields=list(fields),
        batch_size=BATCH_SIZE,
    )


def record_selection(
    kind: str, selection: FailureSelection, done: str, **columns: Any
) -> None:
    columns |= failure_columns(selection.targets, done)
    operation, *others = {target.operation for target in selection.targets}
    if not others:
        columns |= {"operation": operation.pk, "verb": operation.verb}
    record_request_event(kind, selection.request, **columns)


def failure_columns(targets: Sequence[Target], done: str) -> dict[str, Any]:
    """Return the columns of an event about failures; `done` ends its summary."""
    number = len(targets)
    operations = sorted({target.operation_id for target in targets})
    return {
        "space": space_of(operations),
        "targets": [(target.target_id, target.name) for target in targets],
        "summary": f"{number:,} failure{'s' * (number != 1)} {done}",
        "detail": {"operations": operations[:100]},
    }


def carry_over(source: str = "worker") -> None:
    """Move assignments to the later failure where the same change failed again."""
    # Not of failures resolved by hand: a reason may end with the same words, and its
    # assignment would be found here permanently.
    assignments = Assignment.objects.filter(
        target__resolved_by__endswith=FAILED_AGAIN, closed_at=None
    ).select_related("target")
    alike = defaultdict(list)
    for each in assignments.order_by("pk")[:BATCH_SIZE]:
        number = each.target.resolved_by.removesuffix(FAILED_AGAIN).removeprefix("OP-")
        if number.isdigit():
            values = [getattr(each, name) for name in CARRIED_OVER]
            alike[int(number), *values].append(each.pk)
    for (operation, *values), keys in alike.items():
        fields = dict(zip(CARRIED_OVER, values, strict=True))
        move_to(operation, keys, fields, source)


@transaction.atomic
def move_to(
    operation: int, keys: Sequence[int], fields: dict[str, Any], source: str
) -> None:
    """Move assignments with equal fields to failures of an operation without any."""
    # The worker and a retry may run at the same time: each moves what it could lock.
    same = Assignment.objects.filter(pk__in=keys)
    locked = same.select_for_update(skip_locked=True, of=("self",))
    moved = [each.target for each in locked.select_related("target")]
    ids = [target.target_id for target in moved]
    later = Target.objects.filter(operation=operation, target_id__in=ids)
    free = later.filter(assignment=None).select_related("operation")
    found = list(free) if any(fields.values()) else []
    Assignment.objects.bulk_create(
        [Assignment(target=target, **fields) for target in found], ignore_conflicts=True
    )
    Assignment.objects.filter(target__in=moved).delete()
    if found:
        record_move(found, moved, fields, source)


def record_move(
    later: Sequence[Target],
    earlier: Sequence[Target],
    fields: dict[str, Any],
    source: str,
) -> None:
    """Record the failures that took the assignments of earlier ones."""
    operation, name = later[0].operation, fields["assignee_name"]
    taken = f"taken by {name}" if name else "noted"
    columns = failure_columns(later, f"failed again in {operation}, {taken} as before")
    operations = sorted({target.operation_id for target in earlier})
    columns["detail"] = {"operations": operations[:100]}
    record_event(
        "failure.noted",
        source=source,
        operation=operation.pk,
        verb=operation.verb,
        reason=fields["note"],
        ticket=fields["ticket"],
        **columns,
    )
