"""Plans a retry: requests again what did not succeed."""

from iotda_admin.operations.error_codes import explain_target, is_platform_code
from iotda_admin.operations.followups.plan import (
    FollowUpPlan,
    Selection,
    State,
    TargetGroup,
)
from iotda_admin.operations.models import Operation

NOT_DONE = (State.FAILED, State.SKIPPED, State.CANCELLED)


class RetryPlan(FollowUpPlan):
    """Preselects the targets for which a retry can help; excludes unknown ones."""

    link = "retry_of"
    states = (*NOT_DONE, State.UNKNOWN)
    prefilled = ("ticket", "reason")

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
