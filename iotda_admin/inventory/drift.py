"""Drift: what a read of IoTDA shows changed although no operation of ours changed it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from iotda_admin.audit.models import Event, Outcome
from iotda_admin.audit.record import record_event
from iotda_admin.core.bulk_sql import among
from iotda_admin.operations.models import Chunk, Operation, Target

# A listing may show what one of our operations did only after a while (assumed).
SETTLING_TIME = timedelta(minutes=1)
CHANGES = {
    "frozen": _("Frozen outside IoTDA Admin"),
    "unfrozen": _("Unfrozen outside IoTDA Admin"),
    "deleted": _("Deleted outside IoTDA Admin"),
    "bound": _("Policy bound outside IoTDA Admin"),
    "unbound": _("Policy unbound outside IoTDA Admin"),
}


@dataclass(frozen=True, slots=True)
class Drift:
    """One change that IoTDA shows. `subject` is that of an operation which would make it."""

    change: str
    subject: str
    target_type: str
    target_id: str
    name: str
    space: str
    policy_id: str = ""
    policy_name: str = ""
    before: str = ""
    after: str = ""


GROUP = attrgetter(
    "change", "target_type", "space", "policy_id", "policy_name", "before", "after"
)


def record_drift(
    found: Sequence[Drift], read_at: datetime, not_by: Operation | None = None
) -> None:
    """Record the changes that no operation of ours explains, equal ones in one event.

    read_at: when the first of them was read
    not_by: an operation that had changed nothing yet at that time
    """
    ours = explained_subjects(found, read_at, not_by)
    unexplained = [drift for drift in found if drift.subject not in ours]
    for group, drifts in groupby(sorted(unexplained, key=GROUP), GROUP):
        change, target_type, space, policy_id, policy_name, before, after = group
        targets = [(drift.target_id, drift.name) for drift in drifts]
        first = targets[0][1] or targets[0][0]
        more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
        policy = f" {policy_name or policy_id}:" if policy_id else ""
        record_event(
            Event.Kind.DRIFT,
            source="worker",
            target_type=target_type,
            space=space,
            policy_id=policy_id,
            policy_name=policy_name,
            summary=f"{change} outside IoTDA Admin:{policy} {first}{more}"[:500],
            targets=targets,
            detail={"change": change, "before": before, "after": after},
        )


def explained_subjects(
    found: Sequence[Drift], read_at: datetime, not_by: Operation | None
) -> set[str]:
    """Return the subjects that an operation of ours may have changed, or has just changed."""
    if not found:
        return set()
    sent = Q(state=Target.State.SENT)
    # One that is no longer read back explains nothing.
    in_doubt = Q(state=Target.State.UNKNOWN, chunk__state__in=Chunk.OPEN)
    just_done = Q(state__in=Target.DONE, settled_at__gte=read_at - SETTLING_TIME)
    targets = Target.objects.filter(
        sent | in_doubt | just_done,
        among("target_id", [drift.target_id for drift in found]),
        among("subject", [drift.subject for drift in found]),
    )
    if not_by:
        targets = targets.exclude(operation=not_by)
    return set(targets.order_by().values_list("subject", flat=True))


def drift_history(target_type: str, target_id: str) -> list[Outcome]:
    """Return the last changes of a target outside the product, newest first."""
    rows = Outcome.objects.filter(
        target_id=target_id,
        event__kind=Event.Kind.DRIFT,
        event__target_type=target_type,
    )
    return list(rows.select_related("event").order_by("-event")[:20])
