"""Plans a retry: requests again what did not succeed."""

from django.utils.translation import gettext as _

from iotda_admin.operations.counts import Counts, target_counts
from iotda_admin.operations.error_codes import explain_target, is_platform_code
from iotda_admin.operations.followups.plan import (
    FollowUpPlan,
    Selection,
    State,
    TargetGroup,
)
from iotda_admin.operations.models import Operation
from iotda_admin.operations.resolutions import FailureSummary, failure_summary

NEVER_SENT = (State.SKIPPED, State.CANCELLED)
NOT_DONE = (State.FAILED, *NEVER_SENT)


def left_to_retry(counts: Counts, failures: FailureSummary) -> bool:
    """Return whether some targets failed and are open, or were never sent."""
    return bool(failures.open[State.FAILED] or counts.keys() & set(NEVER_SENT))


class RetryPlan(FollowUpPlan):
    """Preselects the targets for which a retry can help; excludes unknown ones."""

    link = "retry_of"
    states = (*NOT_DONE, State.UNKNOWN)
    prefilled = ("ticket", "reason")

    def __init__(self, operation: Operation, exclude: Operation | None = None) -> None:
        super().__init__(operation, exclude)
        failures = failure_summary(operation.targets.all())
        # Not for the retry itself: it may have resolved them.
        if exclude or not failures.over:
            return
        if not left_to_retry(target_counts(operation), failures):
            message = _("No failure of %(operation)s is open any more: %(how)s.")
            self.over = message % {"operation": operation, "how": failures}
            self.possible, self.left_out = [], self.groups

    @staticmethod
    def verb_name(operation: Operation) -> str:
        return operation.verb

    def classify_target(self, state: str, code: str, status: int | None) -> TargetGroup:
        help = explain_target(state, code, status)
        if state == State.UNKNOWN:
            return TargetGroup(f"unknown:{code}", help, Selection.EXCLUDED)
        selection = Selection.PRESELECTED if help.retryable else Selection.SELECTABLE
        return TargetGroup(
            f"{state}:{code}",
            help,
            Selection.EXCLUDED if help.hopeless else selection,
            code if is_platform_code(code) else "",
        )
