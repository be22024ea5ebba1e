"""Targets that did not succeed, grouped by cause."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, QuerySet

from iotda_admin.operations.counts import UNSUCCESSFUL
from iotda_admin.operations.error_codes import (
    ErrorHelp,
    explain_target,
    is_platform_code,
)
from iotda_admin.operations.models import Operation, Target

State = Target.State
TARGETS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Cause:
    """Targets that ended alike, for the same reason."""

    state: str
    code: str
    messages: Sequence[str]
    count: int
    targets: Sequence[Target]
    help: ErrorHelp
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
        return list(
            dict.fromkeys(
                t.chunk.request_id for t in self.targets if t.chunk.request_id
            )
        )[:3]


def failure_causes(operation: Operation, shown: int = TARGETS_SHOWN) -> list[Cause]:
    trouble = operation.targets.filter(state__in=UNSUCCESSFUL).order_by()
    rows = (
        trouble.values_list("state", "error_code")
        .annotate(n=Count("pk"))
        .order_by("-n")
    )
    groups = [group for row in rows for group in split_by_status(trouble, *row)]
    causes = [
        found
        for group in groups
        if (found := build_cause(operation, *group, shown=shown))
    ]
    return sorted(causes, key=lambda cause: UNSUCCESSFUL.index(State(cause.state)))


def split_by_status(
    trouble: QuerySet[Target], state: str, code: str, count: int
) -> list[tuple[str, str, int, dict[str, int | None]]]:
    """Where there is no code, only the status says why it failed."""
    if code or state != State.FAILED:
        return [(state, code, count, {})]
    alike = trouble.filter(state=state, error_code=code)
    rows = (
        alike.values_list("chunk__http_status").annotate(n=Count("pk")).order_by("-n")
    )
    return [(state, code, n, {"chunk__http_status": status}) for status, n in rows]


def build_cause(
    operation: Operation,
    state: str,
    code: str,
    count: int,
    status: dict[str, int | None],
    *,
    shown: int,
) -> Cause | None:
    alike = operation.targets.filter(
        state=state, error_code=code, **status
    ).select_related("chunk")
    # While numbers change, any will do: PostgreSQL looks for the first of them among all operations' targets.
    targets = list((alike if shown == TARGETS_SHOWN else alike.order_by())[:shown])
    if not targets:
        # Settled in the moment between the two looks.
        return None
    messages = dict.fromkeys(
        target.error_message for target in targets if target.error_message
    )
    help = explain_target(state, code, targets[0].chunk.http_status)
    return Cause(
        state,
        code,
        list(messages)[:3],
        count,
        targets,
        help,
        status.get("chunk__http_status"),
    )
