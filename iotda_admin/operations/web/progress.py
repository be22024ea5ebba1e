"""The progress of an operation, what it waits for, and its estimated remaining time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from iotda_admin.operations.error_codes import TASKS_FULL
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import get_verb
from iotda_admin.rate.hook import estimate_seconds

# Too short to show.
SHORT_SECONDS = 3.0
# The time over which the speed is measured.
PACE_SECONDS = 60.0
# A large operation is polled less often.
LARGE = 1000


@dataclass(frozen=True, slots=True)
class BatchTaskProgress:
    """The targets that IoTDA's batch tasks have done, of all; some may not be recorded yet."""

    done: int
    total: int
    recorded: int

    @property
    def unrecorded(self) -> int:
        return max(0, self.done - self.recorded)


@dataclass(frozen=True, slots=True)
class Progress:
    answered: int
    # Of a batch task that IoTDA works through.
    followed: BatchTaskProgress | None
    held_until: datetime | None
    # It is held because IoTDA cannot be reached, not because it asks to wait.
    unreached: bool
    # It is held because IoTDA runs as many batch tasks as it allows.
    full: bool
    seconds_left: float
    # The calls take longer than the rate alone would have it.
    paced: bool
    # Seconds until the next poll of the page.
    poll: int

    @property
    def done(self) -> int:
        return self.answered + (self.followed.unrecorded if self.followed else 0)

    @property
    def wait(self) -> str:
        """Return the remaining time in words, unless it is short."""
        return (
            format_duration(self.seconds_left)
            if self.seconds_left > SHORT_SECONDS and not self.held_until
            else ""
        )

    @property
    def rate(self) -> float:
        return settings.IOTDA_RATE


def operation_progress(operation: Operation, total: int, waiting: int) -> Progress:
    if not waiting:
        return Progress(total, None, None, False, False, 0.0, False, 3)
    at_rate, at_pace = estimate_time_left(operation)
    return Progress(
        answered=total - waiting,
        followed=batch_task_progress(operation),
        held_until=next_send_at(operation),
        unreached=operation.strikes > 0,
        full=waits_for_batch_task(operation),
        seconds_left=max(at_rate, at_pace),
        paced=at_pace > 1.5 * at_rate,
        poll=1 if total <= LARGE else 3,
    )


def batch_task_progress(operation: Operation) -> BatchTaskProgress | None:
    chunks = operation.chunks.filter(state=Chunk.State.FOLLOWED)
    done = chunks.aggregate(done=Sum("task_done"))["done"]
    if done is None:
        return None
    targets = Target.objects.filter(chunk__in=chunks)
    total, open_ = targets.count(), targets.filter(state=Target.State.SENT).count()
    return BatchTaskProgress(done, total, total - open_)


def next_send_at(operation: Operation) -> datetime | None:
    """Return when the next chunk may be sent, if it must wait."""
    if not operation.running:
        return None
    now, pending = timezone.now(), operation.chunks.filter(state=Chunk.State.PENDING)
    held = (
        operation.held_until
        if operation.held_until and operation.held_until > now
        else None
    )
    if not held and pending.filter(due_at__lte=now).exists():
        return None
    first = pending.aggregate(first=Min("due_at"))["first"]
    return max(first, held or first) if first else None


def waits_for_batch_task(operation: Operation) -> bool:
    """Return whether the next step waits for the end of a batch task."""
    first = operation.chunks.filter(state=Chunk.State.PENDING).order_by("due_at")[:1]
    return any(chunk.error_code in TASKS_FULL for chunk in first)


def estimate_time_left(operation: Operation) -> tuple[float, float]:
    """About how long the calls take that are still to be made: at the rate, if nobody else makes any, and as
    fast as it went just now."""
    left = operation.chunks.filter(state=Chunk.State.PENDING, by_task=False).count()
    return estimate_seconds(
        left * get_verb(operation.verb).calls
    ), left * seconds_per_chunk(operation)


def seconds_per_chunk(operation: Operation) -> float:
    """How long a chunk took of late, with all that were under way beside it; 0.0 where too few have ended."""
    now = timezone.now()
    since = now - timedelta(seconds=PACE_SECONDS)
    ended = operation.chunks.filter(by_task=False, answered_at__gte=since)
    found = ended.aggregate(n=Count("pk"), first=Min("sent_at"))
    if found["n"] < 2 * settings.IOTDA_IN_FLIGHT:
        return 0.0
    took = now - max(since, found["first"] or now)
    return float(took.total_seconds() / found["n"])


def format_duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return _("%(n)d s") % {"n": round(seconds)}
    if minutes < 90:
        return _("%(n)d min") % {"n": minutes}
    return _("%(hours)d h %(minutes)d min") % {
        "hours": minutes // 60,
        "minutes": minutes % 60,
    }
