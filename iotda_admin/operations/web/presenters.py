"""Presents an operation: counts first, then failures by cause."""

from typing import Any

from django.db.models import Q

from iotda_admin.access.scope import AnyUser
from iotda_admin.operations.causes import (
    TARGETS_SHOWN,
    failure_causes,
    pause_help,
    pause_reason,
    split_task,
)
from iotda_admin.operations.counts import UNSUCCESSFUL, Counts, State, target_counts
from iotda_admin.operations.execution.lifecycle import is_being_read
from iotda_admin.operations.followups.links import (
    busy_targets,
    open_pairs,
    operation_links,
)
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.permissions import visible_operations
from iotda_admin.operations.resolutions import failure_summary, outcome_badge
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web.headline import target_words, with_counts
from iotda_admin.operations.web.progress import operation_progress

# While numbers change, the page is polled.
SHOWN_MEANWHILE = 10
# Always shown, so that nothing jumps while numbers change; the others appear with their first target.
TILES = (State.OK, State.ALREADY, State.FAILED, State.UNKNOWN)


def result_context(operation: Operation) -> dict[str, Any]:
    """Return the context of the result fragment, on any page."""
    counts = target_counts(operation)
    progress, total = operation_progress(operation, counts), sum(counts.values())
    waiting, failures = (
        total - progress.answered,
        failure_summary(operation.targets.all()),
    )
    shown = SHOWN_MEANWHILE if waiting else TARGETS_SHOWN
    # Read nothing slow for a page that is polled in a second.
    good = operation.targets.filter(state__in=[] if waiting else Target.DONE)
    links = operation_links(operation)
    pairs = open_pairs(operation, links)
    return {
        "operation": operation,
        "verb": get_verb(operation.verb),
        "words": target_words(operation, counts),
        "counts": counts,
        "failures": failures,
        "outcome": outcome_badge(operation, counts, failures),
        "tiles": [
            (s, s.label, counts.get(s, 0)) for s in State if s in TILES or counts.get(s)
        ],
        "total": total,
        "waiting": waiting,
        "progress": progress,
        "causes": failure_causes(operation, shown)
        if counts.keys() & set(UNSUCCESSFUL)
        else [],
        "good": list(good[:TARGETS_SHOWN]),
        "good_count": 0
        if waiting
        else sum(counts.get(state, 0) for state in Target.DONE),
        "open": operation.finished_at is None or any(pair.open for pair in pairs),
        "links": links,
        "pairs": pairs,
        "busy": set(busy_targets(pairs)),
        "split_task": split_task(operation),
        "pause": pause_context(operation, counts),
    }


def pause_context(operation: Operation, counts: Counts) -> dict[str, Any] | None:
    """Return why the operation is paused, and what the answer means."""
    if not operation.paused:
        return None
    return {
        "reason": pause_reason(operation),
        "meaning": pause_help(operation),
        "left": counts.get(State.PENDING, 0),
        "reading": counts.get(State.UNKNOWN, 0) if is_being_read(operation) else 0,
    }


def target_history(**ids: str) -> list[Target]:
    """Return the last changes of these targets, given by type: device="x", product="y".

    A device is changed by its own operations and by those on its product and its space.
    """
    same = Q(pk__in=[])
    for target_type, id in ids.items():
        same |= Q(target_id=id, operation__target_type=target_type)
    targets = Target.objects.filter(same, target_id__in=ids.values())
    found = targets.select_related("operation").prefetch_related("operation__spaces")
    return list(found.order_by("-id")[:20])


def policy_history(policy_id: str, user: AnyUser) -> list[dict[str, Any]]:
    """Return the last changes with the policy whose targets are all in the user's spaces."""
    rows = visible_operations(user).filter(policy_id=policy_id)
    return with_counts(list(rows.prefetch_related("spaces")[:20]))
