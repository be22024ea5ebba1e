"""What an error of a write request means for its targets. The one place that decides it."""

from enum import Enum, auto

from iotda_admin.iotda import IotdaError, Rejected, Throttled
from iotda_admin.operations.error_codes import TASKS_FULL
from iotda_admin.operations.verbs import Verb


class ErrorAction(Enum):
    UNKNOWN = auto()  # IoTDA may have acted: read the platform back, never send again
    WAIT = auto()  # refused for its rate, not executed: send later
    FULL = auto()  # refused because as many batch tasks run as may: send later
    NOT_SENT = auto()  # it did not reach IoTDA: send again, a few times
    STOP = auto()  # the rest would meet the same refusal
    SPLIT = auto()  # one bad id spoils the whole request: send each id by itself
    FAILED = auto()  # refused


def classify(error: IotdaError, verb: Verb, targets: int) -> ErrorAction:
    if error.maybe_applied:
        return ErrorAction.UNKNOWN
    if isinstance(error, Throttled):
        return ErrorAction.WAIT
    if error.code in TASKS_FULL:
        return ErrorAction.FULL
    if error.retryable or not isinstance(error, Rejected):
        # What is no refusal and was not applied was met on the way, or in the look before the write.
        return ErrorAction.NOT_SENT
    if verb.stops(error):
        return ErrorAction.STOP
    if error.status == 400 and targets > 1:
        return ErrorAction.SPLIT
    return ErrorAction.FAILED
