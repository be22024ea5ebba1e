"""Decides what an error of a write request means for its targets. Nothing else decides it."""

from enum import Enum, auto

from iotda_admin.iotda import IotdaError, Rejected, Throttled
from iotda_admin.operations.error_codes import TASKS_FULL
from iotda_admin.operations.verbs import Verb


class ErrorAction(Enum):
    READ_BACK = auto()  # IoTDA may have applied it: read it back, never send it again
    WAIT = auto()  # rejected by a rate limit, not executed: send it later
    WAIT_FOR_TASK = auto()  # too many batch tasks are running: send it later
    RETRY = auto()  # the request did not reach IoTDA: send it again, a few times
    STOP = auto()  # the rest of the operation would be rejected as well
    SPLIT = auto()  # one target may reject the whole request: send each separately
    FAIL = auto()  # rejected


def classify(error: IotdaError, verb: Verb, targets: int) -> ErrorAction:
    """Return what to do about an error of a request for this number of targets."""
    if error.maybe_applied:
        return ErrorAction.READ_BACK
    if isinstance(error, Throttled):
        return ErrorAction.WAIT
    if error.code in TASKS_FULL:
        return ErrorAction.WAIT_FOR_TASK
    if error.retryable or not isinstance(error, Rejected):
        # An error on the way to IoTDA, or in the read before the write.
        return ErrorAction.RETRY
    if verb.stops(error):
        return ErrorAction.STOP
    if error.status in (400, 403) and targets > 1:
        return ErrorAction.SPLIT
    return ErrorAction.FAIL
