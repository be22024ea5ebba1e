"""Which failures of operations are open, and what resolved the others, in words."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from iotda_admin.operations.counts import Counts, State
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.open_failures import FAILED_AGAIN

IS_AGAIN = re.compile(rf"\A(OP-\d+){FAILED_AGAIN}\Z")
# What resolved failures is named, up to this number; the others are counted.
NAMED = 3


class Resolver(NamedTuple):
    """What resolved failures: OP-6, a user name or "inventory".

    again  the same change failed again there: the later failure took the place of this one
    """

    name: str
    again: bool = False

    def describe(self, number: int) -> str:
        facts = {"n": intcomma(number), "by": self.name}
        if self.again:
            return _("%(n)s failed again in %(by)s") % facts
        if self.name == "inventory":
            return _("%(n)s resolved by a sync") % facts
        return _("%(n)s resolved by %(by)s") % facts


class Resolution(NamedTuple):
    """What resolved a failure, and how, for a table."""

    by: str
    how: str


def read_resolution(resolved_by: str) -> Resolution:
    """Split the text that is stored with a resolved failure."""
    by, again = read_resolver(resolved_by)
    if again:
        return Resolution(by, _("the same change failed again"))
    _name, _colon, why = resolved_by.partition(": ")
    if by == "inventory":
        return Resolution(_("sync"), why)
    return Resolution(by, why or _("a later operation"))


def read_resolver(resolved_by: str) -> Resolver:
    """Read the text that is stored with a resolved failure."""
    if again := IS_AGAIN.match(resolved_by):
        return Resolver(again[1], again=True)
    return Resolver(resolved_by.partition(":")[0])


@dataclass(slots=True)
class FailureSummary:
    """The failures of an operation, or of one cause: failed and unknown targets."""

    open: Counter[str] = field(default_factory=Counter)
    resolved: Counter[Resolver] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.open.total() + self.resolved.total()

    @property
    def over(self) -> bool:
        """Whether there were failures, and none is open."""
        return bool(self.resolved) and not self.open

    def __str__(self) -> str:
        """Return "2 open, 1 resolved by OP-6"; empty without failures."""
        parts = []
        if number := self.open.total():
            text = ngettext("%(n)s open", "%(n)s open", number)
            parts.append(text % {"n": intcomma(number)})
        most = self.resolved.most_common()
        parts += [resolver.describe(number) for resolver, number in most[:NAMED]]
        if more := sum(number for _resolver, number in most[NAMED:]):
            parts.append(_("%(n)s resolved by others") % {"n": intcomma(more)})
        return ", ".join(parts)


def failure_summary(targets: QuerySet[Target]) -> FailureSummary:
    """Return the summary of these targets."""
    return sum_up(targets).get(0) or FailureSummary()


def failure_summaries(operations: Sequence[Operation]) -> dict[int, FailureSummary]:
    found = sum_up(Target.objects.filter(operation__in=operations), "operation")
    return {each.pk: found.get(each.pk) or FailureSummary() for each in operations}


def sum_up(targets: QuerySet[Target], *key: str) -> dict[int, FailureSummary]:
    """Return the summaries by key; by 0 without one."""
    is_open = ExpressionWrapper(Q(resolved_at=None), output_field=BooleanField())
    failures = targets.filter(state__in=Target.FAILURES).order_by()
    columns = failures.annotate(is_open=is_open).values_list(
        "state", "is_open", "resolved_by", *key
    )
    summaries: dict[int, FailureSummary] = {}
    for state, open_, resolved_by, *keys, n in columns.annotate(n=Count("pk")):
        summary = summaries.setdefault(keys[0] if keys else 0, FailureSummary())
        if open_:
            summary.open[state] += n
        else:
            summary.resolved[read_resolver(resolved_by)] += n
    return summaries


class OutcomeBadge(NamedTuple):
    """The state of an operation with failures, for its badge."""

    tone: str
    icon: str
    label: str | Promise


PARTLY_FAILED = OutcomeBadge("danger", "cross", gettext_lazy("Partly failed"))
FAILED = OutcomeBadge("danger", "cross", gettext_lazy("Failed"))
UNKNOWN = OutcomeBadge("warn", "unknown", gettext_lazy("Unknown outcomes"))
RESOLVED = OutcomeBadge("neutral", "check", gettext_lazy("Failures resolved"))


def outcome_badge(
    operation: Operation, counts: Counts, failures: FailureSummary
) -> OutcomeBadge | None:
    """Return the badge of an ended operation with failures; None: its state says it all."""
    if operation.state != Operation.State.DONE or not failures.total:
        return None
    if failures.over:
        return RESOLVED
    if not failures.open[State.FAILED]:
        return UNKNOWN
    return PARTLY_FAILED if counts.keys() - {State.FAILED} else FAILED


def outcome_label(badge: OutcomeBadge | None, operation: Operation) -> str:
    return str(badge.label) if badge else operation.get_state_display()
