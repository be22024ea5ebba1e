"""Parses the rows of a finished batch task into the outcomes of its targets."""

import logging
from collections import defaultdict
from collections.abc import Collection

from iotda_admin.iotda import BadResponse, BatchTaskInfo, TaskProgress, TaskTarget
from iotda_admin.operations.error_codes import TASK_FAILED, TASK_STOPPED
from iotda_admin.operations.verbs import State, TargetOutcome, Verb

log = logging.getLogger(__name__)


def parse_task_rows(
    task: BatchTaskInfo, rows: Collection[TaskTarget], verb: Verb, ids: Collection[str]
) -> dict[str, TargetOutcome | None]:
    """Return what a finished task tells about the targets `ids`; None: not ended.

    Targets that the task does not mention, or contradicts itself about, are missing.
    Raise BadResponse for rows of other targets: they are those of another task.
    """
    if others := {row.target for row in rows}.difference(ids):
        message = f"the task shows {len(others)} targets that were not requested"
        raise BadResponse(message, retryable=True)
    failed = task.status in ("Fail", "Stopped") and nothing_changed(task.task_progress)
    if not rows and failed:
        code = TASK_FAILED if task.status == "Fail" else TASK_STOPPED
        return dict.fromkeys(ids, TargetOutcome(State.FAILED, code, task.status_desc))
    # By target and state: more than one state is a contradiction.
    found: dict[str, dict[State | None, TargetOutcome | None]] = defaultdict(dict)
    for row in rows:
        outcome = parse_row(row, verb)
        found[row.target].setdefault(outcome.state if outcome else None, outcome)
    clear = {
        id: outcome
        for id, outcomes in found.items()
        if len(outcomes) == 1
        for outcome in outcomes.values()
    }
    if len(clear) < len(found):
        log.warning(
            "batch task %s contradicts itself about %d targets",
            task.task_id,
            len(found) - len(clear),
        )
    return clear


def nothing_changed(progress: TaskProgress) -> bool:
    """Return whether the numbers account for all targets without a success.

    Missing numbers are 0 here, so the sum alone is not enough.
    """
    ended = progress.fail + progress.stopped + progress.removed
    return not progress.success and 0 < progress.total == ended


def parse_row(row: TaskTarget, verb: Verb) -> TargetOutcome | None:
    """Return the outcome of a row; None if it has not ended or has an unknown status."""
    code, message = row.error.error_code, row.error.error_msg or row.output
    match row.status:
        case "Success":
            return TargetOutcome(State.OK)
        case "Fail" if code and code == verb.already_code:
            return TargetOutcome(State.ALREADY, code, row.error.error_msg)
        case "Fail":
            return TargetOutcome(State.FAILED, code, message)
        case "Stopped" | "Removed":
            return TargetOutcome(State.FAILED, TASK_STOPPED, message)
    return None
