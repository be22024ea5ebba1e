"""Plans an undo: requests the opposite for exactly what an operation changed."""

from django.utils.translation import gettext_lazy as _

from iotda_admin.operations.error_codes import ErrorHelp, explain_target
from iotda_admin.operations.followups.plan import (
    FollowUpPlan,
    Selection,
    State,
    TargetGroup,
)
from iotda_admin.operations.models import Operation
from iotda_admin.operations.verbs import get_verb

CHANGED = ErrorHelp(_("Changed by this operation, and not since."), "")
ALREADY = ErrorHelp(
    _("These had the requested state before this operation."), _("They stay unchanged.")
)


class UndoPlan(FollowUpPlan):
    link = "undo_of"
    states = (State.OK, State.ALREADY, State.UNKNOWN)

    @staticmethod
    def verb_name(operation: Operation) -> str:
        return get_verb(operation.verb).inverse

    def classify_target(self, state: str, code: str, status: int | None) -> TargetGroup:
        match state:
            case State.OK:
                return TargetGroup("changed", CHANGED, Selection.PRESELECTED)
            case State.ALREADY:
                return TargetGroup("already", ALREADY, Selection.EXCLUDED)
        help = explain_target(state, code, status)
        return TargetGroup("unknown", help, Selection.EXCLUDED)
