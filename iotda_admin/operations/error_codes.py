"""What the platform's error codes mean to a support agent.

One readable table. A code that is not in it is shown as the platform sent it and said to be unknown:
no meaning is guessed. Sources: the platform's error code pages and the pages of the calls.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from iotda_admin.operations.models import Target

# Ours: what happened before or instead of an answer of the platform.
NOT_SENT = "not_sent"
NOT_APPLIED = "not_applied"
CHANGED_SINCE = "changed_since"
NO_ANSWER = "no_answer"
# The process that sent a chunk was gone before an answer came.
SENDER_LOST = "sender_lost"
STOPPED = "stopped"
CANCELLED = "cancelled"
NOT_ALLOWED = "not_allowed"
NOT_DIRECT = "not_directly_connected"
MOVED = "moved_elsewhere"
TASK_STOPPED = "task_stopped"
TASK_FAILED = "task_failed"
OWN = frozenset(
    {
        NOT_SENT, NOT_APPLIED, CHANGED_SINCE, NO_ANSWER, SENDER_LOST, STOPPED, CANCELLED, NOT_ALLOWED,
        NOT_DIRECT, MOVED, TASK_STOPPED, TASK_FAILED,
    }
)  # fmt: skip

# The platform's, where more is done with them than explaining.
DEVICE_MISSING = "IOTDA.014000"
POLICIES_FULL = "IOTDA.015204"

# As many batch tasks run as may. No source shows the platform's code: assumed, until one is seen.
TASKS_FULL = frozenset({"IOTDA.014203"})


@dataclass(frozen=True, slots=True)
class ErrorHelp:
    meaning: str | Promise
    next_step: str | Promise
    retryable: bool = False
    # Asking again for the same can never succeed.
    hopeless: bool = False


UNKNOWN_CODE = ErrorHelp(
    _("We do not know this code."),
    _(
        "Read IoTDA's own words. With the request ID, Huawei Cloud support can look it up."
    ),
)

REPORT_BUG = _("This is a fault of ours: report it with the request ID.")
OPEN_TICKET = _("Open a ticket at Huawei Cloud with the request ID.")
PAGING = ErrorHelp(
    _("IoTDA did not accept the page of a list that was asked for."), REPORT_BUG
)
GATEWAY = ErrorHelp(_("The gateway before IoTDA is set up wrongly."), OPEN_TICKET)

CODES: dict[str, ErrorHelp] = {
    NOT_SENT: ErrorHelp(
        _(
            "IoTDA could not be reached or read. Nothing was sent and nothing was changed."
        ),
        _("Check that IoTDA is reachable, then ask again."),
        retryable=True,
    ),
    NOT_APPLIED: ErrorHelp(
        _(
            "IoTDA did not answer. We looked twice afterwards: it did not make the change."
        ),
        _("Ask again."),
        retryable=True,
    ),
    CHANGED_SINCE: ErrorHelp(
        _(
            "IoTDA did not answer, and the target was changed again before we could look."
        ),
        _("Open the target to see how it stands now."),
    ),
    NO_ANSWER: ErrorHelp(
        _("IoTDA gave no clear answer. The change may or may not have been made."),
        _("Wait: we look at IoTDA and settle it. Do not send it again until then."),
    ),
    STOPPED: ErrorHelp(
        _("Not sent: the operation was stopped before."),
        _("Solve what stopped it, then ask again for these."),
        retryable=True,
    ),
    CANCELLED: ErrorHelp(
        _("Not sent: the operation was cancelled before."),
        _("Ask again for these if they are to be changed after all."),
        retryable=True,
    ),
    NOT_ALLOWED: ErrorHelp(
        _("Not sent: who asked for it has no right to it any more."),
        _("Someone with the right can ask again for these."),
        retryable=True,
    ),
    NOT_DIRECT: ErrorHelp(
        _(
            "This device is behind a gateway. IoTDA freezes only directly connected devices."
        ),
        _(
            "If you want all devices behind the gateway to lose their connection, freeze the gateway."
        ),
        hopeless=True,
    ),
    MOVED: ErrorHelp(
        _(
            "Not sent: the device was moved to a resource space where the person who asked has no right."
        ),
        _("Someone with the right there can ask for it."),
        hopeless=True,
    ),
    TASK_STOPPED: ErrorHelp(
        _(
            "IoTDA's batch task was stopped before this device's turn. It was not changed."
        ),
        _("Ask again."),
        retryable=True,
    ),
    TASK_FAILED: ErrorHelp(
        _("IoTDA did not carry out the batch task. Nothing was changed."),
        _("Read IoTDA's own words, then ask again."),
        retryable=True,
    ),
    # Devices
    DEVICE_MISSING: ErrorHelp(
        _("The device does not exist."),
        _(
            "Check the ID. The device may have been deleted, or belong to another project or instance."
        ),
    ),
    "IOTDA.014038": ErrorHelp(
        _(
            "This device is behind a gateway. IoTDA freezes only directly connected devices."
        ),
        _(
            "If you want all devices behind the gateway to lose their connection, freeze the gateway."
        ),
        hopeless=True,
    ),
    "IOTDA.014039": ErrorHelp(
        _("The device is already frozen."), _("Nothing to do."), hopeless=True
    ),
    "IOTDA.014040": ErrorHelp(
        _("The device is not frozen."), _("Nothing to do."), hopeless=True
    ),
    "IOTDA.014016": ErrorHelp(
        _("The device is not online."),
        _("Ask again when it is online."),
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
        _("Check that the device is online, then ask again."),
        retryable=True,
    ),
    "IOTDA.014112": ErrorHelp(
        _("The device does not listen to this topic."),
        _("Check the device's policies and what its firmware subscribes to."),
    ),
    "IOTDA.014114": ErrorHelp(
        _("This call is not for MQTT devices."), REPORT_BUG, hopeless=True
    ),
    "IOTDA.014115": ErrorHelp(
        _("This call is not for this kind of device."), REPORT_BUG, hopeless=True
    ),
    # Tags
    "IOTDA.004002": ErrorHelp(
        _("The tag's key begins with iot_, which is IoTDA's own."),
        _("Choose another key."),
        hopeless=True,
    ),
    "IOTDA.004003": ErrorHelp(
        _("The device has no tag with this key."), _("Nothing to do."), hopeless=True
    ),
    "IOTDA.004004": ErrorHelp(
        _("The same tag was named twice."), _("Name each tag once."), hopeless=True
    ),
    # Batch tasks
    "IOTDA.014219": ErrorHelp(
        _("The device is not part of IoTDA's batch task."),
        _("Open the device to see how it stands now."),
    ),
    "IOTDA.014600": ErrorHelp(
        _(
            "IoTDA no longer has the file of the batch task: it keeps files for one hour."
        ),
        _("Ask again."),
    ),
    "IOTDA.014602": ErrorHelp(_("IoTDA already has a file of this name."), REPORT_BUG),
    "IOTDA.014603": ErrorHelp(
        _("The file of the batch task is larger than 2 MB."),
        _("Ask for fewer devices at once."),
    ),
    # Policies
    POLICIES_FULL: ErrorHelp(
        _("The target already has 5 policies, the most that IoTDA allows."),
        _("Unbind a policy it no longer needs, then bind this one again."),
    ),
    # Resource spaces
    "IOTDA.001000": ErrorHelp(
        _("The resource space does not exist."), _("Check the ID of the space.")
    ),
    "IOTDA.001001": ErrorHelp(
        _("The resource space was given wrongly."), _("Check the ID of the space.")
    ),
    "IOTDA.001002": ErrorHelp(
        _("Our account may not use this resource space."),
        _("Ask the account's administrator for access."),
    ),
    "IOTDA.001005": ErrorHelp(
        _("The account has several resource spaces, and none was named."),
        _("Choose a resource space."),
    ),
    "IOTDA.001006": ErrorHelp(
        _("Our account has no such resource space."),
        _("Check the ID of the space. On a new instance, create one first."),
    ),
    "IOTDA.001007": ErrorHelp(
        _("The resource space belongs to another account."),
        _("Check the ID of the space."),
    ),
    # Any call
    "IOTDA.000002": ErrorHelp(
        _("IoTDA did not accept our credentials."),
        _("Tell an administrator: `manage.py check_iotda` says what is wrong."),
    ),
    "IOTDA.000004": ErrorHelp(
        _("IoTDA did not accept our token."),
        _("Tell an administrator: `manage.py check_iotda` says what is wrong."),
    ),
    "IOTDA.000006": ErrorHelp(
        _("IoTDA did not accept one of the values sent."),
        _("Check the IDs. If they are right, report this."),
    ),
    "IOTDA.000008": ErrorHelp(_("IoTDA could not read the request."), REPORT_BUG),
    "IOTDA.000009": ErrorHelp(
        _("IoTDA could not read a time that was sent."), REPORT_BUG
    ),
    "IOTDA.000010": ErrorHelp(
        _("The start was not before the end."), _("Correct the times.")
    ),
    "IOTDA.000011": PAGING,
    "IOTDA.000012": PAGING,
    "IOTDA.000013": PAGING,
    "IOTDA.000014": PAGING,
    "IOTDA.000017": PAGING,
    "IOTDA.000018": PAGING,
    "IOTDA.000020": ErrorHelp(
        _("IoTDA could not handle our token."),
        _("Ask again later, then open a ticket at Huawei Cloud."),
        retryable=True,
    ),
    "IOTDA.000021": ErrorHelp(
        _("IoTDA is not active for our account at this address."),
        _("Tell an administrator: instance address, region or project is wrong."),
    ),
    "IOTDA.000022": ErrorHelp(
        _("Our account lacks the permission for this."),
        _(
            "Ask the cloud account's administrator for the permission. Asking again will not help."
        ),
    ),
    "IOTDA.000029": ErrorHelp(
        _(
            "IoTDA does not take this call: the address is wrong, or it sets what may only be read."
        ),
        REPORT_BUG,
    ),
    "IOTDA.021101": ErrorHelp(
        _("IoTDA's limit of calls was reached. It was not carried out."),
        _("Ask again later."),
        retryable=True,
    ),
    "IOTDA.021102": ErrorHelp(
        _("The account's limit of calls was reached. It was not carried out."),
        _("Ask again later."),
        retryable=True,
    ),
    "IOTDA.021105": ErrorHelp(
        _("One request was larger than IoTDA takes."),
        _("Ask for fewer targets at once."),
    ),
    # The gateway before the platform
    "APIGW.0101": ErrorHelp(
        _("There is no such call at this address."),
        _("Tell an administrator: the address is wrong."),
    ),
    "APIGW.0103": ErrorHelp(
        _("The gateway does not find IoTDA behind it."), OPEN_TICKET
    ),
    "APIGW.0104": GATEWAY,
    "APIGW.0105": GATEWAY,
    "APIGW.0106": GATEWAY,
    "APIGW.0201": ErrorHelp(
        _("The gateway before IoTDA could not pass the request on."),
        _("Ask again later."),
        retryable=True,
    ),
    "APIGW.0301": ErrorHelp(
        _("The gateway did not accept our credentials."),
        _("Tell an administrator: keys, token or the clock of our server are wrong."),
    ),
    "APIGW.0302": ErrorHelp(
        _("Our account may not make this call."),
        _("Ask the cloud account's administrator for the permission."),
    ),
    "APIGW.0303": ErrorHelp(
        _("The gateway did not accept our credentials."),
        _("Tell an administrator: keys or the clock of our server are wrong."),
    ),
    "APIGW.0308": ErrorHelp(
        _("IoTDA's limit of calls was reached. It was not carried out."),
        _("Ask again later."),
        retryable=True,
    ),
}


# Where the code tells nothing, the HTTP status of the refused request still does.
STATUSES: dict[int, ErrorHelp] = {
    403: ErrorHelp(
        _("IoTDA refused it for lack of rights."),
        _("Ask the cloud account's administrator. Asking again will not help."),
    ),
    404: ErrorHelp(
        _("IoTDA does not know what was to be changed. It may have been deleted."),
        _("Refresh the inventory and look again."),
    ),
    429: ErrorHelp(
        _("IoTDA's limit of calls was reached."), _("Ask again later."), retryable=True
    ),
}


SERVER_FAULT = ErrorHelp(
    _("IoTDA had a fault of its own. Nothing was sent."),
    _("Ask again later."),
    retryable=True,
)


def explain_code(code: str, status: int | None = None) -> ErrorHelp:
    # A dedicated gateway spells the same errors APIG.
    known = CODES.get(code) or CODES.get(code.replace("APIG.", "APIGW."))
    by_status = SERVER_FAULT if status and status >= 500 else STATUSES.get(status or 0)
    return known or by_status or UNKNOWN_CODE


def is_platform_code(code: str) -> bool:
    """Anything that is not ours is the platform's, whether anybody knows it or not."""
    return bool(code) and code not in OWN


def explain_target(state: str, code: str, http_status: int | None) -> ErrorHelp:
    match state:
        case Target.State.CANCELLED:
            return explain_code(CANCELLED)
        case Target.State.SKIPPED:
            return explain_code(NOT_ALLOWED if code == NOT_ALLOWED else STOPPED)
        case Target.State.UNKNOWN if code != CHANGED_SINCE:
            # Without a clear answer, whatever code there is explains nothing.
            return explain_code(NO_ANSWER)
    return explain_code(code, http_status)
