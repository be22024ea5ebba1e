"""An operation as a person wants to see it: counts first, then failures by cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from iotda_admin.operations.codes import CHANGED_SINCE, NO_ANSWER, NOT_SENT, STOPPED, Knowledge, explain
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import verb_named

State = Target.State
SHOWN = 100
# Failures on top: they are what somebody has to act on.
TROUBLE = (State.FAILED, State.UNKNOWN, State.SKIPPED)


@dataclass(frozen=True, slots=True)
class Cause:
    """Targets that ended alike, for the same reason."""

    state: str
    code: str
    messages: Sequence[str]
    count: int
    targets: Sequence[Target]
    knowledge: Knowledge

    @property
    def platform_code(self) -> bool:
        """Whether the code is the platform's own, and with it the messages."""
        return self.code.startswith(("IOTDA.", "APIGW.", "APIG."))

    @property
    def more(self) -> int:
        return self.count - len(self.targets)


def counts_of(operation: Operation) -> dict[str, int]:
    """Targets by state. Their sum is the number that was asked for, at any moment."""
    rows = operation.targets.order_by().values_list("state").annotate(Count("pk"))
    return dict(sorted(rows))


def counts_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def counts_by_operation(operations: Sequence[Operation]) -> dict[int, dict[str, int]]:
    rows = (
        Target.objects.filter(operation__in=operations)
        .order_by()
        .values_list("operation", "state")
        .annotate(Count("pk"))
    )
    result: dict[int, dict[str, int]] = {operation.pk: {} for operation in operations}
    for operation_id, state, count in rows:
        result[operation_id][state] = count
    return result


def causes_of(operation: Operation) -> list[Cause]:
    trouble = operation.targets.filter(state__in=TROUBLE).order_by()
    rows = trouble.values_list("state", "error_code").annotate(n=Count("pk")).order_by("-n")
    found = [cause(operation, state, code, count) for state, code, count in rows]
    causes = [cause for cause in found if cause]
    return sorted(causes, key=lambda cause: TROUBLE.index(State(cause.state)))


def cause(operation: Operation, state: str, code: str, count: int) -> Cause | None:
    alike = operation.targets.filter(state=state, error_code=code)
    messages = (
        alike.exclude(error_message="").order_by().values_list("error_message", flat=True).distinct()[:3]
    )
    shown = list(alike.select_related("chunk")[:SHOWN])
    if not shown:
        # Settled in the moment between the two looks.
        return None
    return Cause(state, code, list(messages), count, shown, knowledge_of(state, code, shown[0].chunk))


def knowledge_of(state: str, code: str, chunk: Chunk) -> Knowledge:
    if state == State.SKIPPED:
        return explain(STOPPED)
    if state == State.UNKNOWN and code != CHANGED_SINCE:
        # Without a clear answer, whatever code there is explains nothing.
        return explain(NO_ANSWER)
    return explain(code, chunk.http_status)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of an operation as a whole, for the one who waits for it."""

    counts: dict[str, int]

    @property
    def good(self) -> bool:
        """Every target stands as asked."""
        return not set(self.counts) - {State.OK, State.ALREADY}

    @property
    def http_status(self) -> int:
        """502 if IoTDA could not be reached for any target; a partial failure is a normal answer."""
        return 502 if set(self.counts) == {NOT_SENT} else 200


def outcome_of(operation: Operation) -> Outcome:
    counts = counts_of(operation)
    no_answer = Q(error_code=NOT_SENT) | Q(chunk__http_status__gte=500)
    unreached = operation.targets.filter(no_answer, state=State.FAILED).count()
    if unreached and unreached == sum(counts.values()):
        return Outcome({NOT_SENT: unreached})
    return Outcome(counts)


# Always shown, so that nothing jumps while numbers change; the others appear with their first target.
TILES = (State.OK, State.ALREADY, State.FAILED, State.UNKNOWN)


def result_context(operation: Operation) -> dict[str, Any]:
    """What the result fragment shows, on the operation's page and wherever it was asked for."""
    counts = counts_of(operation)
    total = sum(counts.values())
    waiting = counts.get(State.PENDING, 0) + counts.get(State.SENT, 0)
    good = operation.targets.filter(state__in=[State.OK, State.ALREADY])
    return {
        "verb": verb_named(operation.verb),
        "tiles": [(s, s.label, counts.get(s, 0)) for s in State if s in TILES or counts.get(s)],
        "total": total,
        "answered": total - waiting,
        "waiting": waiting,
        "causes": causes_of(operation),
        "good": list(good[:SHOWN]),
        "good_count": counts.get(State.OK, 0) + counts.get(State.ALREADY, 0),
        "held_until": held_until(operation),
        "open": operation.finished_at is None,
    }


def held_until(operation: Operation) -> datetime | None:
    """When the next chunk may be sent, if the platform asked to wait."""
    pending = operation.chunks.filter(state=Chunk.State.PENDING)
    first = pending.order_by("due_at").values_list("due_at", flat=True).first()
    return first if first and first > timezone.now() else None


def history_of(target_type: str, target_id: str) -> list[Target]:
    """The last changes that were asked for one target."""
    targets = Target.objects.filter(target_id=target_id, operation__target_type=target_type)
    return list(targets.select_related("operation").order_by("-id")[:20])


def history_of_policy(policy_id: str) -> list[Operation]:
    return list(Operation.objects.filter(policy_id=policy_id)[:20])
