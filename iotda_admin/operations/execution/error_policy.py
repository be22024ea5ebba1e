"""Decides what an error of a write request means for its targets. Nothing else decides it."""

from enum import Enum, auto

from iotda_admin.iotda import IotdaError, Rejected, Throttled
from iotda_admin.operations.error_codes import INVALID_VALUE
from iotda_admin.operations.task_slots import NoTaskSlot
from iotda_admin.operations.verbs import Verb, VerbRequest


class ErrorAction(Enum):
    READ_BACK = auto()  # IoTDA may have applied it: read it back, never send it again
    WAIT = auto()  # rejected by a rate limit, not executed: send it later
    WAIT_FOR_TASK = auto()  # too many batch tasks are running: send it later
    RETRY = auto()  # the request did not reach IoTDA: send it again, a few times
    STOP = auto()  # the rest of the operation would be rejected as well
    SPLIT = auto()  # one target may reject the whole request: send each separately
    FAIL = auto()  # rejected


def classify(error: IotdaError, verb: Verb, request: VerbRequest) -> ErrorAction:
    """Return what to do about an error of this request."""
    if error.maybe_applied:
        return ErrorAction.READ_BACK
    if isinstance(error, Throttled):
        return ErrorAction.WAIT
    if isinstance(error, NoTaskSlot):
        return ErrorAction.WAIT_FOR_TASK
    if error.retryable or not isinstance(error, Rejected):
        # An error on the way to IoTDA, or in the read before the write.
        return ErrorAction.RETRY
    if verb.stops(error):
        return ErrorAction.STOP
    if len(request.ids) > 1 and may_be_one_target(error, request):
        return ErrorAction.SPLIT
    return ErrorAction.FAIL


def may_be_one_target(error: IotdaError, request: VerbRequest) -> bool:
    """Return whether one of several targets may be the reason of a refusal.

    A batch task has thousands: only if IoTDA says that a value is invalid.
    """
    if request.task_name:
        return error.code == INVALID_VALUE
    return error.status in (400, 403)
