"""Groups the targets of an operation that did not succeed by cause."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from iotda_admin.operations.counts import UNSUCCESSFUL
from iotda_admin.operations.error_codes import (
    POLICIES_FULL,
    ErrorHelp,
    explain_code,
    explain_target,
    is_platform_code,
)
from iotda_admin.operations.models import Chunk, ChunkState, Operation, Target
from iotda_admin.operations.resolutions import FailureSummary, failure_summary

State = Target.State
TARGETS_SHOWN = 100
# Why an operation is held, and what to do.
HELD = {
    Operation.PauseCause.RESTORED: ErrorHelp(
        gettext_lazy("The database was restored from a backup."),
        gettext_lazy(
            "What was done after the backup is not recorded here, and a user may have"
            " undone it since. Continue only if this change is still right."
        ),
    ),
    Operation.PauseCause.INTERRUPTED: ErrorHelp(
        gettext_lazy("No worker was sending for a long time."),
        gettext_lazy(
            "The targets may have been changed since. Continue only if this change is"
            " still right."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Targets with the same outcome, for the same reason."""

    state: str
    code: str
    messages: Sequence[str]
    count: int
    targets: Sequence[Target]
    help: ErrorHelp
    # Which of them are open, if they are failures.
    failures: FailureSummary
    # The HTTP status, where it distinguishes this cause from others.
    status: int | None = None

    @property
    def key(self) -> str:
        return f"{self.state}-{self.code or self.status or ''}"

    @property
    def platform_code(self) -> bool:
        """Whether code and messages come from IoTDA."""
        return is_platform_code(self.code)

    @property
    def policies_full(self) -> bool:
        """Whether a policy has to be unbound before the bind can succeed."""
        return self.code == POLICIES_FULL and self.state == State.FAILED

    @property
    def more(self) -> int:
        return self.count - len(self.targets)

    @property
    def request_ids(self) -> list[str]:
        """The first request ids of the calls for these targets."""
        found = (t.chunk.request_id for t in self.targets if t.chunk.request_id)
        return list(dict.fromkeys(found))[:3]


def failure_causes(operation: Operation, shown: int = TARGETS_SHOWN) -> list[Cause]:
    """Return the causes, each with up to `shown` of its targets; resolved ones last."""
    failed = operation.targets.filter(state__in=UNSUCCESSFUL).order_by()
    rows = (
        failed.values_list("state", "error_code").annotate(n=Count("pk")).order_by("-n")
    )
    groups = [group for row in rows for group in split_by_status(failed, *row)]
    causes = [build_cause(targets, count, shown) for targets, count in groups]
    return sorted(
        filter(None, causes),
        key=lambda cause: (
            cause.failures.over,
            UNSUCCESSFUL.index(State(cause.state)),
        ),
    )


def pause_reason(operation: Operation) -> str:
    """Return why a paused operation is paused."""
    if operation.held:
        return str(held_help(operation).meaning)
    called = operation.chunks.filter(state=ChunkState.DONE, answered_at__isnull=False)
    # Not those whose targets have chunks of their own now.
    facts = {
        "refused": operation.refusals,
        "calls": called.filter(
            Exists(Target.objects.filter(chunk=OuterRef("pk")))
        ).count(),
    }
    if facts["refused"] >= facts["calls"]:
        return (
            _("%(refused)d of %(refused)d were refused with the same answer.") % facts
        )
    return (
        _("The last %(refused)d of %(calls)d were refused with the same answer.")
        % facts
    )


def held_help(operation: Operation) -> ErrorHelp:
    return HELD[Operation.PauseCause(operation.pause_cause)]


def pause_help(operation: Operation) -> str:
    """Return what the refusal of a paused operation means, or what to do."""
    if operation.held:
        return str(held_help(operation).next_step)
    return str(explain_code(operation.refusal_code).meaning)


def split_task(operation: Operation) -> Chunk | None:
    """Return a refused batch task whose devices are sent one by one instead."""
    refused = operation.chunks.filter(by_task=True, state=ChunkState.DONE, targets=None)
    return refused.exclude(error_code="").first()


def split_by_status(
    failed: QuerySet[Target], state: str, code: str, count: int
) -> list[tuple[QuerySet[Target], int]]:
    """Return the targets of a cause; without a code, those of each HTTP status."""
    targets = failed.filter(state=state, error_code=code)
    if code or state != State.FAILED:
        return [(targets, count)]
    rows = (
        targets.values_list("chunk__http_status").annotate(n=Count("pk")).order_by("-n")
    )
    return [(targets.filter(chunk__http_status=status), n) for status, n in rows]


def build_cause(targets: QuerySet[Target], count: int, shown: int) -> Cause | None:
    # Sorting is slow while an operation runs: PostgreSQL then searches all operations.
    found = targets.order_by("pk") if shown == TARGETS_SHOWN else targets
    sample = list(found.select_related("chunk")[:shown])
    if not sample:
        # They got another outcome after they were counted.
        return None
    first = sample[0]
    messages = dict.fromkeys(t.error_message for t in sample if t.error_message)
    status = first.chunk.http_status
    by_status = not first.error_code and first.state == State.FAILED
    return Cause(
        first.state,
        first.error_code,
        list(messages)[:3],
        count,
        sample,
        explain_target(first.state, first.error_code, status),
        failure_summary(targets),
        status if by_status else None,
    )
