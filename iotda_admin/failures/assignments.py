"""Assign, resolve and reopen failures; each change is recorded in the audit trail."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from iotda_admin.audit.record import record_event, record_request_event
from iotda_admin.failures.models import Assignment
from iotda_admin.failures.selection import FailureSelection
from iotda_admin.operations.models import Target, space_of
from iotda_admin.operations.open_failures import FAILED_AGAIN

BATCH_SIZE = 500
CARRIED_OVER = ("assignee_id", "assignee_name", "note", "ticket")


@transaction.atomic
def assign(
    request: HttpRequest, selection: FailureSelection, done: str, **fields: object
) -> None:
    """Set fields of the assignments; `done` says in the summary what was done."""
    save_assignments(selection.keys, **fields)
    record_selection(
        "failure.noted",
        request,
        selection,
        done,
        reason=fields.get("note"),
        ticket=fields.get("ticket"),
    )


@transaction.atomic
def resolve_by_hand(
    request: HttpRequest, selection: FailureSelection, reason: str
) -> None:
    now, name = timezone.now(), request.user.get_username()
    save_assignments(selection.keys, closed_at=now)
    open_ones = Target.objects.filter(pk__in=selection.keys, resolved_at=None)
    open_ones.update(resolved_at=now, resolved_by=f"{name}: {reason}"[:200])
    record_selection(
        "failure.solved", request, selection, "resolved by hand", reason=reason
    )


@transaction.atomic
def reopen(request: HttpRequest, selection: FailureSelection) -> None:
    save_assignments(selection.keys, closed_at=None)
    targets = Target.objects.filter(pk__in=selection.keys)
    targets.update(resolved_at=None, resolved_by="")
    record_selection("failure.noted", request, selection, "reopened")


def save_assignments(targets: Iterable[int], **fields: object) -> None:
    Assignment.objects.bulk_create(
        [Assignment(target_id=pk, **fields) for pk in targets],
        update_conflicts=True,
        unique_fields=["target"],
        update_fields=list(fields),
        batch_size=BATCH_SIZE,
    )


def record_selection(
    kind: str,
    request: HttpRequest,
    selection: FailureSelection,
    done: str,
    **columns: object,
) -> None:
    targets = selection.targets
    if len({target.operation_id for target in targets}) == 1:
        columns |= {
            "operation": targets[0].operation_id,
            "verb": targets[0].operation.verb,
        }
    set_columns = {name: value for name, value in columns.items() if value}
    record_request_event(kind, request, **failure_columns(targets, done), **set_columns)


def failure_columns(targets: Sequence[Target], done: str) -> dict[str, Any]:
    """Return the columns of an event about failures; `done` ends its summary."""
    number, operations = len(targets), {target.operation_id for target in targets}
    return {
        "space": space_of(operations),
        "targets": [(target.target_id, target.name) for target in targets],
        "summary": f"{number:,} failure{'s' * (number != 1)} {done}",
        "detail": {"operations": sorted(operations)[:100]},
    }


def carry_over(source: str = "worker") -> None:
    """Move assignments to the later failure where the same change failed again."""
    # Not of failures resolved by hand: a reason may end with the same words, and its
    # assignment would be found here permanently.
    assignments = Assignment.objects.filter(
        target__resolved_by__endswith=FAILED_AGAIN, closed_at=None
    ).select_related("target")
    alike: dict[tuple[Any, ...], list[Assignment]] = defaultdict(list)
    for each in assignments.order_by("pk")[:BATCH_SIZE]:
        number = each.target.resolved_by.removesuffix(FAILED_AGAIN).removeprefix("OP-")
        if number.isdigit():
            key = [int(number), *(getattr(each, name) for name in CARRIED_OVER)]
            alike[tuple(key)].append(each)
    for (number, *values), group in alike.items():
        move_to(number, group, dict(zip(CARRIED_OVER, values, strict=True)), source)


@transaction.atomic
def move_to(
    number: int, group: Sequence[Assignment], fields: dict[str, Any], source: str
) -> None:
    """Move assignments with equal fields to failures of an operation without any."""
    # The worker and a retry may run at the same time: each moves what it could lock.
    locked = Assignment.objects.filter(pk__in=[each.pk for each in group])
    keys = {each.pk for each in locked.select_for_update(skip_locked=True)}
    moved = [each.target for each in group if each.pk in keys]
    later = Target.objects.filter(
        operation=number,
        target_id__in=[target.target_id for target in moved],
        assignment=None,
    ).select_related("operation")
    found = list(later) if any(fields.values()) else []
    Assignment.objects.bulk_create(
        [Assignment(target=target, **fields) for target in found], ignore_conflicts=True
    )
    Assignment.objects.filter(pk__in=keys).delete()
    if found:
        name = fields["assignee_name"]
        taken = f"taken by {name}" if name else "noted"
        done = f"failed again in {found[0].operation}, {taken} as before"
        earlier = sorted({target.operation_id for target in moved})
        columns = failure_columns(found, done) | {
            "detail": {"operations": earlier[:100]}
        }
        record_event(
            "failure.noted",
            source=source,
            operation=number,
            verb=found[0].operation.verb,
            reason=fields["note"],
            ticket=fields["ticket"],
            **columns,
        )
