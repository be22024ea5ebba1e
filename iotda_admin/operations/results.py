"""An operation as a person wants to see it: counts first, then failures by cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from iotda_admin.accounts.scope import Somebody
from iotda_admin.operations.codes import (
    CANCELLED,
    CHANGED_SINCE,
    NO_ANSWER,
    NOT_ALLOWED,
    NOT_SENT,
    OWN,
    STOPPED,
    Knowledge,
    explain,
)
from iotda_admin.operations.links import links_of
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.progress import progress_of
from iotda_admin.operations.rights import in_spaces
from iotda_admin.operations.verbs import verb_named

State = Target.State
SHOWN = 100
# While numbers still change: the page is asked for again and again.
SHOWN_MEANWHILE = 10
# Failures on top: they are what somebody has to act on.
TROUBLE = (State.FAILED, State.UNKNOWN, State.SKIPPED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Cause:
    """Targets that ended alike, for the same reason."""

    state: str
    code: str
    messages: Sequence[str]
    count: int
    targets: Sequence[Target]
    knowledge: Knowledge
    # None where it does not tell this cause from another.
    status: int | None = None

    @property
    def key(self) -> str:
        return f"{self.state}-{self.code or self.status or ''}"

    @property
    def platform_code(self) -> bool:
        """Whether the code is the platform's own, and with it the messages."""
        return is_platform_code(self.code)

    @property
    def more(self) -> int:
        return self.count - len(self.targets)

    @property
    def request_ids(self) -> list[str]:
        """The first few of the calls that these targets went with."""
        return list(dict.fromkeys(t.chunk.request_id for t in self.targets if t.chunk.request_id))[:3]


def is_platform_code(code: str) -> bool:
    """Anything that is not ours is the platform's, whether anybody knows it or not."""
    return bool(code) and code not in OWN


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


def causes_of(operation: Operation, shown: int = SHOWN) -> list[Cause]:
    trouble = operation.targets.filter(state__in=TROUBLE).order_by()
    rows = trouble.values_list("state", "error_code").annotate(n=Count("pk")).order_by("-n")
    groups = [group for row in rows for group in by_status(trouble, *row)]
    causes = [found for group in groups if (found := cause(operation, *group, shown=shown))]
    return sorted(causes, key=lambda cause: TROUBLE.index(State(cause.state)))


def by_status(
    trouble: QuerySet[Target], state: str, code: str, count: int
) -> list[tuple[str, str, int, dict[str, int | None]]]:
    """Where there is no code, only the status says why it failed."""
    if code or state != State.FAILED:
        return [(state, code, count, {})]
    alike = trouble.filter(state=state, error_code=code)
    rows = alike.values_list("chunk__http_status").annotate(n=Count("pk")).order_by("-n")
    return [(state, code, n, {"chunk__http_status": status}) for status, n in rows]


def cause(
    operation: Operation, state: str, code: str, count: int, status: dict[str, int | None], *, shown: int
) -> Cause | None:
    alike = operation.targets.filter(state=state, error_code=code, **status).select_related("chunk")
    # While numbers change, any will do: PostgreSQL looks for the first of them among all operations' targets.
    targets = list((alike if shown == SHOWN else alike.order_by())[:shown])
    if not targets:
        # Settled in the moment between the two looks.
        return None
    messages = dict.fromkeys(target.error_message for target in targets if target.error_message)
    knowledge = knowledge_of(state, code, targets[0].chunk.http_status)
    return Cause(state, code, list(messages)[:3], count, targets, knowledge, status.get("chunk__http_status"))


def knowledge_of(state: str, code: str, http_status: int | None) -> Knowledge:
    match state:
        case State.CANCELLED:
            return explain(CANCELLED)
        case State.SKIPPED:
            return explain(NOT_ALLOWED if code == NOT_ALLOWED else STOPPED)
        case State.UNKNOWN if code != CHANGED_SINCE:
            # Without a clear answer, whatever code there is explains nothing.
            return explain(NO_ANSWER)
    return explain(code, http_status)


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
    # Nothing long is read for a page that is asked for again in a second.
    good = operation.targets.filter(state__in=[] if waiting else [State.OK, State.ALREADY])
    return {
        "verb": verb_named(operation.verb),
        "counts": counts,
        "tiles": [(s, s.label, counts.get(s, 0)) for s in State if s in TILES or counts.get(s)],
        "total": total,
        "waiting": waiting,
        "progress": progress_of(operation, total, waiting),
        "causes": causes_of(operation, SHOWN_MEANWHILE if waiting else SHOWN) if troubled(counts) else [],
        "good": list(good[:SHOWN]),
        "good_count": 0 if waiting else counts.get(State.OK, 0) + counts.get(State.ALREADY, 0),
        "open": operation.finished_at is None,
        "links": links_of(operation),
    }


def troubled(counts: dict[str, int]) -> bool:
    return any(counts.get(state) for state in TROUBLE)


def history_of(target_type: str, target_id: str) -> list[Target]:
    """The last changes that were asked for one target."""
    targets = Target.objects.filter(target_id=target_id, operation__target_type=target_type)
    found = targets.select_related("operation").prefetch_related("operation__spaces")
    return list(found.order_by("-id")[:20])


def history_of_policy(policy_id: str, user: Somebody) -> list[Operation]:
    """The last changes with it, as far as all of their targets are in the user's spaces."""
    rows = in_spaces(Operation.objects.filter(policy_id=policy_id), user)
    return list(rows.prefetch_related("spaces")[:20])
