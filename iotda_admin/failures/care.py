"""Who takes care of which failure; each change of it is an event in the trail."""

from collections.abc import Iterable

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from iotda_admin import audit
from iotda_admin.failures.models import Care
from iotda_admin.failures.selection import Selection
from iotda_admin.operations.models import Target, space_of
from iotda_admin.operations.solving import AGAIN

TOGETHER = 500


@transaction.atomic
def note(request: HttpRequest, selection: Selection, deed: str, **facts: object) -> None:
    write(keys(selection), **facts)
    tell("failure.noted", request, selection, deed, reason=facts.get("note"), ticket=facts.get("ticket"))


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


def tell(kind: str, request: HttpRequest, selection: Selection, deed: str, **said: object) -> None:
    operations = {target.operation_id for target in selection.targets}
    one = selection.targets[0].operation if len(operations) == 1 else None
    audit.record_request(
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


def carry() -> None:
    """Where the same failed again, whoever took care of the first failure takes care of the second."""
    # Not what somebody has closed: what they said may end like that, and would be looked at for ever.
    left = Care.objects.filter(target__solved_by__endswith=AGAIN, closed_at=None).select_related("target")
    for care in left.order_by("pk")[:TOGETHER]:
        number = care.target.solved_by.removesuffix(AGAIN).removeprefix("OP-")
        if not number.isdigit():
            continue
        newer = Target.objects.filter(operation=int(number), target_id=care.target.target_id).first()
        with transaction.atomic():
            if newer and not Care.objects.filter(pk=newer.pk).exists():
                facts = {name: getattr(care, name) for name in ("owner_id", "owner_name", "note", "ticket")}
                Care.objects.create(target=newer, **facts)
            care.delete()
