"""Who takes care of which failure; each change of it is an event in the trail."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from iotda_admin.audit.record import record_event, record_request_event
from iotda_admin.failures.models import Care
from iotda_admin.failures.selection import Selection
from iotda_admin.operations.models import Target, space_of
from iotda_admin.operations.open_failures import AGAIN

TOGETHER = 500
CARRIED = ("owner_id", "owner_name", "note", "ticket")


@transaction.atomic
def note(
    request: HttpRequest, selection: Selection, deed: str, **facts: object
) -> None:
    write(keys(selection), **facts)
    tell(
        "failure.noted",
        request,
        selection,
        deed,
        reason=facts.get("note"),
        ticket=facts.get("ticket"),
    )


@transaction.atomic
def close(request: HttpRequest, selection: Selection, reason: str) -> None:
    now, who = timezone.now(), request.user.get_username()
    write(keys(selection), closed_at=now)
    mine = Target.objects.filter(pk__in=keys(selection), solved_at=None)
    mine.update(solved_at=now, solved_by=f"{who}: {reason}"[:200])
    tell("failure.solved", request, selection, "solved by hand", reason=reason)


@transaction.atomic
def reopen(request: HttpRequest, selection: Selection) -> None:
    write(keys(selection), closed_at=None)
    Target.objects.filter(pk__in=keys(selection)).update(solved_at=None, solved_by="")
    tell("failure.noted", request, selection, "open again")


def keys(selection: Selection) -> list[int]:
    return [target.pk for target in selection.targets]


def write(targets: Iterable[int], **facts: object) -> None:
    Care.objects.bulk_create(
        [Care(target_id=pk, **facts) for pk in targets],
        update_conflicts=True,
        unique_fields=["target"],
        update_fields=list(facts),
        batch_size=TOGETHER,
    )


def failures(number: int) -> str:
    return f"{number:,} failure{'s' * (number != 1)}"


def tell(
    kind: str, request: HttpRequest, selection: Selection, deed: str, **said: object
) -> None:
    operations = {target.operation_id for target in selection.targets}
    one = selection.targets[0].operation if len(operations) == 1 else None
    record_request_event(
        kind,
        request,
        operation=one.pk if one else None,
        verb=one.verb if one else "",
        space=space_of(operations),
        targets=selection.ids,
        summary=f"{failures(len(selection.targets))} {deed}",
        detail={"operations": sorted(operations)[:100]},
        **{name: value for name, value in said.items() if value},
    )


def carry(source: str = "worker") -> None:
    """Where the same failed again, whoever took care of the first failure takes care of the second."""
    # Not what somebody has closed: what they said may end like that, and would be looked at for ever.
    left = Care.objects.filter(
        target__solved_by__endswith=AGAIN, closed_at=None
    ).select_related("target")
    alike: dict[tuple[Any, ...], list[Care]] = defaultdict(list)
    for care in left.order_by("pk")[:TOGETHER]:
        number = care.target.solved_by.removesuffix(AGAIN).removeprefix("OP-")
        if number.isdigit():
            alike[int(number), *(getattr(care, name) for name in CARRIED)].append(care)
    for (number, *facts), cares in alike.items():
        hand_over(number, cares, dict(zip(CARRIED, facts, strict=True)), source)


@transaction.atomic
def hand_over(
    number: int, cares: Sequence[Care], facts: dict[str, Any], source: str
) -> None:
    """Of failures with the same owner and note, to those of the later operation that have none yet."""
    # Each by one process: the worker and a retry may be at it at the same moment.
    ours = Care.objects.filter(pk__in=[care.pk for care in cares]).select_for_update(
        skip_locked=True
    )
    mine = {care.pk for care in ours}
    cares = [care for care in cares if care.pk in mine]
    ids = [care.target.target_id for care in cares]
    later = Target.objects.filter(
        operation=number, target_id__in=ids, care=None
    ).select_related("operation")
    found = list(later) if any(facts.values()) else []
    Care.objects.bulk_create(
        [Care(target=target, **facts) for target in found], ignore_conflicts=True
    )
    Care.objects.filter(pk__in=mine).delete()
    if found:
        operation = found[0].operation
        record_event(
            "failure.noted",
            source=source,
            operation=number,
            verb=operation.verb,
            space=space_of([number]),
            reason=facts["note"],
            ticket=facts["ticket"],
            targets=[(target.target_id, target.name) for target in found],
            summary=f"{failures(len(found))} of before again in {operation}{owned_by(facts['owner_name'])}",
            detail={
                "operations": sorted({care.target.operation_id for care in cares})[:100]
            },
        )


def owned_by(name: str) -> str:
    return f", taken by {name} as before" if name else ", noted as before"
