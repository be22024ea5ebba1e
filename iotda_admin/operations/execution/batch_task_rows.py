"""What a finished batch task tells of its targets."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from iotda_admin.iotda import BatchTaskInfo, TaskProgress, TaskTarget
from iotda_admin.operations.error_codes import TASK_FAILED, TASK_STOPPED
from iotda_admin.operations.verbs import State, TargetOutcome, Verb

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskOutcomes:
    """verdicts: how targets ended. waiting: those that the task still shows as not ended. Of all others,
    those it contradicts itself about included, it tells nothing."""

    verdicts: Mapping[str, TargetOutcome]
    waiting: Collection[str]


def parse_task_rows(
    task: BatchTaskInfo, rows: Collection[TaskTarget], verb: Verb, ids: Collection[str]
) -> TaskOutcomes:
    if (
        not rows
        and task.status in ("Fail", "Stopped")
        and nothing_changed(task.progress)
    ):
        code = TASK_FAILED if task.status == "Fail" else TASK_STOPPED
        return TaskOutcomes(
            dict.fromkeys(ids, TargetOutcome(State.FAILED, code, task.status_desc)), ()
        )
    told: dict[str, TargetOutcome | None] = {}
    contradicted = set()
    for row in known_rows(task, rows, ids):
        verdict = parse_row(row, verb)
        if row.target in told and row_state(told[row.target]) != row_state(verdict):
            contradicted.add(row.target)
        told.setdefault(row.target, verdict)
    if contradicted:
        log.warning(
            "batch task %s contradicts itself about %d targets",
            task.task_id,
            len(contradicted),
        )
    kept = {id: verdict for id, verdict in told.items() if id not in contradicted}
    return TaskOutcomes(
        {id: verdict for id, verdict in kept.items() if verdict},
        {id for id, verdict in kept.items() if verdict is None},
    )


def nothing_changed(progress: TaskProgress) -> bool:
    """Numbers that are missing read as 0, so all targets have to be accounted for."""
    ended = progress.fail + progress.stopped + progress.removed
    return not progress.success and 0 < progress.total == ended


def known_rows(
    task: BatchTaskInfo, rows: Iterable[TaskTarget], ids: Collection[str]
) -> list[TaskTarget]:
    rows = list(rows)
    wanted = set(ids)
    known = [row for row in rows if row.target in wanted]
    if len(rows) > len(known):
        log.warning(
            "batch task %s tells of %d targets not asked for",
            task.task_id,
            len(rows) - len(known),
        )
    return known


def row_state(verdict: TargetOutcome | None) -> State | None:
    return verdict.state if verdict else None


def parse_row(row: TaskTarget, verb: Verb) -> TargetOutcome | None:
    """None: it has not ended yet. A status that nobody has written down is no end either."""
    match row.status:
        case "Success":
            return TargetOutcome(State.OK)
        case "Fail" if row.error_code and row.error_code == verb.already_code:
            return TargetOutcome(State.ALREADY, row.error_code, row.error_msg)
        case "Fail":
            return TargetOutcome(
                State.FAILED, row.error_code, row.error_msg or row.output
            )
        case "Stopped" | "Removed":
            return TargetOutcome(
                State.FAILED, TASK_STOPPED, row.error_msg or row.output
            )
    return None
