"""The open failures that a user may see, grouped by cause."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from django.db.models import Q, QuerySet

from iotda_admin.operations.error_codes import (
    POLICIES_FULL,
    ErrorHelp,
    explain_target,
    is_platform_code,
)
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.open_failures import actionable_failures

State = Target.State
# Counting stops here; pages show "10,000+".
COUNT_LIMIT = 10_000
CODES_SHOWN = 100
# IoTDA's messages are taken from this many failures of a group.
SAMPLE_SIZE = 20


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures with one cause. All unknown outcomes are one group, whatever their code."""

    rows: QuerySet[Target]
    state: str
    code: str
    count: int
    help: ErrorHelp
    messages: Sequence[str]

    @property
    def query(self) -> dict[str, str]:
        """Return the query parameters that select the group."""
        if self.state == State.UNKNOWN:
            return {"state": State.UNKNOWN}
        return {"code": self.code or "-"}

    @property
    def platform_code(self) -> bool:
        return self.state == State.FAILED and is_platform_code(self.code)

    @property
    def capped(self) -> bool:
        return self.count > COUNT_LIMIT

    @property
    def shown(self) -> int:
        return min(self.count, COUNT_LIMIT)

    @property
    def policies_full(self) -> bool:
        return self.code == POLICIES_FULL


def filter_failures(visible: QuerySet[Operation], filters: Q) -> QuerySet[Target]:
    return actionable_failures().filter(filters, operation__in=visible)


def in_group(rows: QuerySet[Target], state: str, code: str) -> QuerySet[Target]:
    if state == State.UNKNOWN:
        # Through their keys: no index has unknown targets in the order of the page.
        unknown = rows.filter(state=State.UNKNOWN).order_by("-error_code", "-pk")
        keys = unknown.values_list("pk", flat=True)[: COUNT_LIMIT + 1]
        return rows.filter(pk__in=list(keys), state=State.UNKNOWN)
    return rows.filter(state=State.FAILED, error_code=stored_code(code))


def stored_code(code: str) -> str:
    """Return the error code that the query parameter of a group names."""
    return "" if code == "-" else code.replace("\0", "")


def distinct_codes(rows: QuerySet[Target]) -> Iterator[str]:
    """Yield each code once, by index seeks from one to the next."""
    codes = rows.order_by("error_code").values_list("error_code", flat=True)
    code = codes.first()
    while code is not None:
        yield code
        code = codes.filter(error_code__gt=code).first()


def failure_groups(rows: QuerySet[Target]) -> list[FailureGroup]:
    """Group by cause: unknown outcomes first, those that no retry can help last."""
    counts: Counter[tuple[str, str]] = Counter()
    for code in islice(distinct_codes(rows), CODES_SHOWN):
        alike = rows.filter(error_code=code).order_by("-pk")
        states = alike.values_list("state", flat=True)[: COUNT_LIMIT + 1]
        for state, count in Counter(states).items():
            counts[state, code if state == State.FAILED else ""] += count
    groups = [failure_group(rows, *cause, count) for cause, count in counts.items()]
    return sorted(
        groups, key=lambda g: (g.state == State.FAILED, g.help.hopeless, -g.count)
    )


def failure_group(
    rows: QuerySet[Target], state: str, code: str, count: int | None = None
) -> FailureGroup:
    """Return the group of one state or code; it may be empty. Count it unless given."""
    alike = in_group(rows, state, code)
    sample = list(alike.order_by("-pk").select_related("chunk")[:SAMPLE_SIZE])
    messages = dict.fromkeys(filter(None, (each.error_message for each in sample)))
    state, code = state or State.FAILED, stored_code(code)
    return FailureGroup(
        alike,
        state,
        code,
        count_up_to_limit(alike) if count is None else count,
        explain_target(state, code, sample[0].chunk.http_status if sample else None),
        list(messages)[:3],
    )


def by_operation(failures: Iterable[Target]) -> dict[Operation, list[Target]]:
    groups = defaultdict(list)
    for target in failures:
        groups[target.operation].append(target)
    return groups


def count_open_failures(visible: QuerySet[Operation]) -> int:
    return count_up_to_limit(filter_failures(visible, Q()))


def count_up_to_limit(rows: QuerySet[Target]) -> int:
    """Count up to COUNT_LIMIT + 1."""
    return rows.order_by().values("pk")[: COUNT_LIMIT + 1].count()
