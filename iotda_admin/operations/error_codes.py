"""Explains error codes to support agents: what happened and what to do next.

A code that is not in the table is shown as IoTDA sent it and called unknown; no meaning
is guessed. Sources: IoTDA's error code pages and the pages of the calls.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from iotda_admin.operations.models import Target

# Our own codes: what happened before or instead of an answer from IoTDA.
NOT_SENT = "not_sent"
NOT_APPLIED = "not_applied"
CHANGED_SINCE = "changed_since"
NO_ANSWER = "no_answer"
# The process that sent a chunk ended before the answer came.
SENDER_LOST = "sender_lost"
# Looks unsent in an old database; IoTDA is read first.
HELD = "held"
STOPPED = "stopped"
CANCELLED = "cancelled"
NOT_ALLOWED = "not_allowed"
# The operation that had to be done first was not done.
NOT_RELEASED = "not_released"
NOT_DIRECT = "not_directly_connected"
MOVED = "moved_elsewhere"
TASK_STOPPED = "task_stopped"
TASK_FAILED = "task_failed"
# IoTDA runs as many batch tasks as it allows.
TASKS_FULL = "tasks_full"
# A batch task waits so long for a free place: until then tasks of other programs have
# ended, or the refusal, whose code is not documented, means something else.
TASKS_FULL_HOURS = 3

# IoTDA's codes that the program handles.
DEVICE_MISSING = "IOTDA.014000"
POLICIES_FULL = "IOTDA.015204"
INVALID_VALUE = "IOTDA.000006"


@dataclass(frozen=True, slots=True)
class ErrorHelp:
    meaning: str | Promise
    next_step: str | Promise
    retryable: bool = False
    # The same request can never succeed.
    hopeless: bool = False


UNKNOWN_CODE = ErrorHelp(
    _("IoTDA Admin does not know this error code."),
    _("Read IoTDA's message. Huawei Cloud support can look up the request ID."),
)
NO_CODE = ErrorHelp(
    _("The refusal has no error code."),
    _("Read the message. Huawei Cloud support can look up the request ID."),
)

NOTHING_TO_DO = _("Nothing to do.")
RETRY = _("Retry.")
RETRY_LATER = _("Retry later.")
CHECK_SPACE = _("Check the ID of the space.")
RUN_CHECK = _("Ask your administrator to run check_iotda.")
REPORT_BUG = _("This is a bug in IoTDA Admin. Report it with the request ID.")
OPEN_TICKET = _("Open a Huawei Cloud ticket with the request ID.")
PAGING = ErrorHelp(_("IoTDA rejected the requested page of a list."), REPORT_BUG)
GATEWAY = ErrorHelp(
    _("The API gateway in front of IoTDA is misconfigured."), OPEN_TICKET
)
BEHIND_GATEWAY = ErrorHelp(
    _(
        "This device is behind a gateway. IoTDA freezes only directly connected devices."
    ),
    _("To disconnect all devices behind the gateway, freeze the gateway."),
    hopeless=True,
)
RATE_LIMITED = ErrorHelp(
    _("The IoTDA rate limit was reached. The call was not executed."),
    RETRY_LATER,
    retryable=True,
)

OWN_CODES = {
    NOT_SENT: ErrorHelp(
        _("IoTDA could not be reached. Nothing was sent and nothing was changed."),
        _("Check that IoTDA is reachable, then retry."),
        retryable=True,
    ),
    NOT_APPLIED: ErrorHelp(
        _("IoTDA did not answer. Two later checks show that the change was not made."),
        RETRY,
        retryable=True,
    ),
    CHANGED_SINCE: ErrorHelp(
        _(
            "IoTDA did not answer, and a later operation changed the target before it was checked."
        ),
        _("Open the target to see its current state."),
    ),
    NO_ANSWER: ErrorHelp(
        _("IoTDA gave no clear answer. The change may or may not have been made."),
        _("Wait for the automatic check. Do not send it again until then."),
    ),
    STOPPED: ErrorHelp(
        _("Not sent, because the operation was stopped."),
        _("Fix what stopped it, then retry these."),
        retryable=True,
    ),
    CANCELLED: ErrorHelp(
        _("Not sent, because the operation was cancelled."),
        _("Retry these if they should be changed after all."),
        retryable=True,
    ),
    NOT_ALLOWED: ErrorHelp(
        _("Not sent, because the requester no longer has the permission."),
        _("A user with the permission can retry these."),
        retryable=True,
    ),
    NOT_RELEASED: ErrorHelp(
        _("Not sent, because the operation that had to be done first was not done."),
        _("Open that operation to see why, then request both again."),
    ),
    HELD: ErrorHelp(
        _("Not sent, as far as this database shows. IoTDA is being read again."),
        _("Wait for the read. Then continue or cancel the operation."),
    ),
    NOT_DIRECT: BEHIND_GATEWAY,
    MOVED: ErrorHelp(
        _(
            "Not sent, because the device was moved to a resource space outside the requester's access."
        ),
        _("A user with access to that resource space can request the change."),
        hopeless=True,
    ),
    TASK_STOPPED: ErrorHelp(
        _(
            "IoTDA's batch task was stopped before it reached this device. The device was not changed."
        ),
        RETRY,
        retryable=True,
    ),
    TASK_FAILED: ErrorHelp(
        _("IoTDA's batch task failed. Nothing was changed."),
        _("Read IoTDA's message, then retry."),
        retryable=True,
    ),
    TASKS_FULL: ErrorHelp(
        _(
            "IoTDA refused the batch task for 3 hours, while it ran as many as it allows."
            " Nothing was changed."
        ),
        _("Read IoTDA's message. Retry when fewer batch tasks run."),
        retryable=True,
    ),
}
OWN = frozenset(OWN_CODES) | {SENDER_LOST}

CODES = OWN_CODES | {
    # Devices
    DEVICE_MISSING: ErrorHelp(
        _("The device does not exist."),
        _(
            "Check the ID. The device may have been deleted, or belong to another project or instance."
        ),
    ),
    "IOTDA.014038": BEHIND_GATEWAY,
    "IOTDA.014039": ErrorHelp(
        _("The device is already frozen."), NOTHING_TO_DO, hopeless=True
    ),
    "IOTDA.014040": ErrorHelp(
        _("The device is not frozen."), NOTHING_TO_DO, hopeless=True
    ),
    "IOTDA.014016": ErrorHelp(
        _("The device is not online."),
        _("Retry when it is online."),
        retryable=True,
    ),
    "IOTDA.014024": ErrorHelp(
        _("The gateway still has devices behind it."),
        _("Delete or move those devices first."),
    ),
    "IOTDA.014031": ErrorHelp(
        _("The device already exists."), _("Choose another ID."), hopeless=True
    ),
    "IOTDA.014111": ErrorHelp(
        _("The device did not answer the command in time."),
        _("Check that the device is online, then retry."),
        retryable=True,
    ),
    "IOTDA.014112": ErrorHelp(
        _("The device is not subscribed to this topic."),
        _("Check the device's policies and what its firmware subscribes to."),
    ),
    "IOTDA.014114": ErrorHelp(
        _("This call does not support MQTT devices."), REPORT_BUG, hopeless=True
    ),
    "IOTDA.014115": ErrorHelp(
        _("This call does not support this type of device."), REPORT_BUG, hopeless=True
    ),
    # Tags
    "IOTDA.004002": ErrorHelp(
        _("Tag keys that begin with iot_ are reserved."),
        _("Choose another key."),
        hopeless=True,
    ),
    "IOTDA.004003": ErrorHelp(
        _("The device has no tag with this key."), NOTHING_TO_DO, hopeless=True
    ),
    "IOTDA.004004": ErrorHelp(
        _("The request contains the same tag twice."),
        _("Name each tag once."),
        hopeless=True,
    ),
    # Batch tasks
    "IOTDA.014219": ErrorHelp(
        _("The device is not part of IoTDA's batch task."),
        _("Open the device to see its current state."),
    ),
    "IOTDA.014600": ErrorHelp(
        _(
            "IoTDA no longer has the file of the batch task. It keeps files for one hour."
        ),
        RETRY,
    ),
    "IOTDA.014602": ErrorHelp(
        _("IoTDA already has a file with this name."), REPORT_BUG
    ),
    "IOTDA.014603": ErrorHelp(
        _("The file of the batch task is larger than 2 MB."),
        _("Request fewer devices at once."),
    ),
    # Policies
    POLICIES_FULL: ErrorHelp(
        _("The target already has 5 policies, the maximum in IoTDA."),
        _("Unbind a policy it no longer needs, then bind this one again."),
    ),
    # Resource spaces
    "IOTDA.001000": ErrorHelp(_("The resource space does not exist."), CHECK_SPACE),
    "IOTDA.001001": ErrorHelp(_("The resource space ID is invalid."), CHECK_SPACE),
    "IOTDA.001002": ErrorHelp(
        _("The IoTDA account has no access to this resource space."),
        _("Ask the cloud account's administrator for access."),
    ),
    "IOTDA.001005": ErrorHelp(
        _("The account has several resource spaces and the request names none."),
        _("Choose a resource space."),
    ),
    "IOTDA.001006": ErrorHelp(
        _("The IoTDA account has no such resource space."),
        _("Check the ID of the space. On a new instance, create one first."),
    ),
    "IOTDA.001007": ErrorHelp(
        _("The resource space belongs to another account."),
        CHECK_SPACE,
    ),
    # Any call
    "IOTDA.000002": ErrorHelp(
        _("IoTDA rejected the credentials of this installation."),
        RUN_CHECK,
    ),
    "IOTDA.000004": ErrorHelp(
        _("IoTDA rejected the token of this installation."),
        RUN_CHECK,
    ),
    INVALID_VALUE: ErrorHelp(
        _("IoTDA rejected a value in the request."),
        _("Check the IDs. If they are correct, report this error."),
    ),
    "IOTDA.000008": ErrorHelp(_("IoTDA could not read the request."), REPORT_BUG),
    "IOTDA.000009": ErrorHelp(
        _("IoTDA could not read a time in the request."), REPORT_BUG
    ),
    "IOTDA.000010": ErrorHelp(
        _("The start time is not before the end time."), _("Correct the times.")
    ),
    "IOTDA.000011": PAGING,
    "IOTDA.000012": PAGING,
    "IOTDA.000013": PAGING,
    "IOTDA.000014": PAGING,
    "IOTDA.000017": PAGING,
    "IOTDA.000018": PAGING,
    "IOTDA.000020": ErrorHelp(
        _("IoTDA could not process the token."),
        _("Retry later. If it fails again, open a Huawei Cloud ticket."),
        retryable=True,
    ),
    "IOTDA.000021": ErrorHelp(
        _("IoTDA is not active for the account at this address."),
        _(
            "Tell an administrator that the instance address, region or project is wrong."
        ),
    ),
    "IOTDA.000022": ErrorHelp(
        _("The IoTDA account does not have the permission for this."),
        _(
            "Ask the cloud account's administrator for the permission. A retry does not help."
        ),
    ),
    "IOTDA.000029": ErrorHelp(
        _(
            "IoTDA does not accept this call: the address is wrong, or the request changes a read-only value."
        ),
        REPORT_BUG,
    ),
    "IOTDA.021101": RATE_LIMITED,
    "IOTDA.021102": ErrorHelp(
        _("The account's rate limit was reached. The call was not executed."),
        RETRY_LATER,
        retryable=True,
    ),
    "IOTDA.021105": ErrorHelp(
        _("The request was larger than IoTDA accepts."),
        _("Request fewer targets at once."),
    ),
    # The API gateway in front of IoTDA
    "APIGW.0101": ErrorHelp(
        _("This API does not exist at this address."),
        _("Tell an administrator that the address is wrong."),
    ),
    "APIGW.0103": ErrorHelp(_("The API gateway cannot find IoTDA."), OPEN_TICKET),
    "APIGW.0104": GATEWAY,
    "APIGW.0105": GATEWAY,
    "APIGW.0106": GATEWAY,
    "APIGW.0201": ErrorHelp(
        _("The API gateway could not forward the request to IoTDA."),
        RETRY_LATER,
        retryable=True,
    ),
    "APIGW.0301": ErrorHelp(
        _("The API gateway rejected the credentials of this installation."),
        _("Tell an administrator to check the keys, the token and the server's clock."),
    ),
    "APIGW.0302": ErrorHelp(
        _("The IoTDA account does not have the permission for this call."),
        _("Ask the cloud account's administrator for the permission."),
    ),
    "APIGW.0303": ErrorHelp(
        _("The API gateway rejected the credentials of this installation."),
        _("Tell an administrator to check the keys and the server's clock."),
    ),
    "APIGW.0308": RATE_LIMITED,
}


SERVER_FAULT = ErrorHelp(
    _("IoTDA had an internal error. Nothing was sent."),
    RETRY_LATER,
    retryable=True,
)


def documented_code(code: str) -> str:
    """Return the code as it is documented: a dedicated gateway's prefix is APIG."""
    return code.replace("APIG.", "APIGW.")


def is_documented(code: str) -> bool:
    return documented_code(code) in CODES


def explain_code(code: str, status: int | None = None) -> ErrorHelp:
    """Return what a code means.

    The status says nothing of an unknown code: IoTDA uses 403 for most refusals.
    """
    if known := CODES.get(documented_code(code)):
        return known
    if status and status >= 500:
        return SERVER_FAULT
    if status == 429:
        return RATE_LIMITED
    return UNKNOWN_CODE if code else NO_CODE


def is_platform_code(code: str) -> bool:
    """Return whether a code came from IoTDA: any code that is not our own."""
    return bool(code) and code not in OWN


def explain_target(state: str, code: str, http_status: int | None) -> ErrorHelp:
    match state:
        case Target.State.CANCELLED:
            return CODES[CANCELLED]
        case Target.State.SKIPPED:
            return CODES[code if code in (NOT_ALLOWED, NOT_RELEASED) else STOPPED]
        case Target.State.UNKNOWN if code not in (CHANGED_SINCE, HELD):
            # Without a clear answer, the code does not explain the outcome.
            return CODES[NO_ANSWER]
    return explain_code(code, http_status)
