"""The open failures that somebody may see, by cause, as narrowly as they ask."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import Q, QuerySet

from iotda_admin.operations.error_codes import (
    POLICIES_FULL,
    ErrorHelp,
    explain_target,
    is_platform_code,
)
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.open_failures import waiting_for_somebody

State = Target.State
# More than this is not counted: "10,000+" says enough.
MOST = 10_000
CODES_SHOWN = 100
# Some of a group tell what IoTDA said of all of it.
READ = 20


@dataclass(frozen=True, slots=True)
class Group:
    """Failures with the same cause. What got no clear answer is one group, whatever code there is."""

    state: str
    code: str
    count: int
    help: ErrorHelp
    messages: Sequence[str] = ()

    @property
    def key(self) -> dict[str, str]:
        """What names it in an address."""
        return (
            {"state": State.UNKNOWN}
            if self.state == State.UNKNOWN
            else {"code": self.code or "-"}
        )

    @property
    def platform_code(self) -> bool:
        return self.state == State.FAILED and is_platform_code(self.code)

    @property
    def capped(self) -> bool:
        return self.count > MOST

    @property
    def shown(self) -> int:
        return min(self.count, MOST)

    @property
    def policies_full(self) -> bool:
        return self.code == POLICIES_FULL


def open_failures(visible: QuerySet[Operation], narrow: Q) -> QuerySet[Target]:
    return waiting_for_somebody().filter(narrow, operation__in=visible)


def of_group(rows: QuerySet[Target], state: str, code: str) -> QuerySet[Target]:
    if state == State.UNKNOWN:
        # By their keys: no index has them in this order.
        unknown = rows.filter(state=State.UNKNOWN).order_by("-error_code", "-pk")
        return rows.filter(
            pk__in=list(unknown.values_list("pk", flat=True)[: MOST + 1])
        )
    return rows.filter(
        state=State.FAILED, error_code="" if code == "-" else code.replace("\0", "")
    )


def codes(rows: QuerySet[Target]) -> Iterator[str]:
    """Each code that one of them has: from one to the next, not over all failures."""
    each = rows.order_by("error_code").values_list("error_code", flat=True)
    code = each.first()
    while code is not None:
        yield code
        code = each.filter(error_code__gt=code).first()


def groups(rows: QuerySet[Target]) -> list[Group]:
    """Unknown outcomes first: nobody knows how those targets stand. Last what is beyond help."""
    found: list[Group] = []
    unknown = 0
    for code in islice(codes(rows), CODES_SHOWN):
        alike = rows.filter(error_code=code).order_by("-pk")
        counts = Counter(alike.values_list("state", flat=True)[: MOST + 1])
        unknown += counts[State.UNKNOWN]
        if counts[State.FAILED]:
            found.append(group(alike, State.FAILED, code, counts[State.FAILED]))
    if unknown:
        found.append(
            group(of_group(rows, State.UNKNOWN, ""), State.UNKNOWN, "", unknown)
        )
    return sorted(
        found, key=lambda g: (g.state == State.FAILED, g.help.hopeless, -g.count)
    )


def group(alike: QuerySet[Target], state: str, code: str, count: int) -> Group:
    some = list(
        alike.filter(state=state).order_by("-pk").select_related("chunk")[:READ]
    )
    said = dict.fromkeys(
        target.error_message for target in some if target.error_message
    )
    status = some[0].chunk.http_status if some else None
    return Group(
        state, code, count, explain_target(state, code, status), list(said)[:3]
    )


def one_group(rows: QuerySet[Target], state: str, code: str) -> Group:
    alike = of_group(rows, state, code)
    code = "" if code == "-" else code
    return group(
        alike,
        state or State.FAILED,
        code,
        alike.order_by().values("pk")[: MOST + 1].count(),
    )


def count(visible: QuerySet[Operation]) -> int:
    """Of all groups, up to one more than is counted."""
    rows: Any = open_failures(visible, Q()).order_by().values("pk")
    return int(rows[: MOST + 1].count())
