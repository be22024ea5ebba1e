"""The progress of an operation, what it waits for, and its estimated remaining time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from iotda_admin.operations.counts import Counts
from iotda_admin.operations.error_codes import TASKS_FULL, TASKS_FULL_HOURS
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import get_verb
from iotda_admin.rate.hook import estimate_seconds
from iotda_admin.rate.models import PlatformState
from iotda_admin.rate.platform_state import current_failure

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
    unrecorded: int


@dataclass(frozen=True, slots=True)
class Progress:
    answered: int
    # Of a batch task that IoTDA works through.
    followed: BatchTaskProgress | None
    waits_until: datetime | None
    # Why it waits.
    waits_because: str
    # It waits because IoTDA runs as many batch tasks as it allows, and IoTDA's refusal.
    full: bool
    refusal: str
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
        short = self.seconds_left <= SHORT_SECONDS
        return "" if short or self.waits_until else format_duration(self.seconds_left)

    @property
    def rate(self) -> float:
        return settings.IOTDA_RATE

    @property
    def longest_wait(self) -> int:
        """Return after how many hours without a free batch task it fails."""
        return TASKS_FULL_HOURS


def operation_progress(operation: Operation, counts: Counts) -> Progress:
    total = sum(counts.values())
    # Of a held operation, the unknown ones are to be read again.
    open_states = Target.UNDECIDED if operation.held else ()
    waiting = {*Target.IN_FLIGHT, *open_states}
    answered = total - sum(counts.get(state, 0) for state in waiting)
    if answered == total:
        return Progress(total, None, None, "", False, "", 0.0, False, 3)
    pending = operation.chunks.filter(state=Chunk.State.PENDING)
    first = pending.order_by("due_at").first()
    left = pending.filter(by_task=False).count()
    # At the rate, if no other operation makes calls, and at the recent pace.
    at_rate = estimate_seconds(left * get_verb(operation.verb).calls)
    at_pace = left * seconds_per_chunk(operation)
    return Progress(
        answered=answered,
        followed=batch_task_progress(operation),
        waits_until=(until := next_send_at(operation, first)),
        waits_because=wait_reason(operation, first) if until else "",
        full=first is not None and first.error_code == TASKS_FULL,
        refusal=first.error_message if first else "",
        seconds_left=max(at_rate, at_pace),
        paced=at_pace > 1.5 * at_rate,
        poll=1 if total <= LARGE else 3,
    )


def batch_task_progress(operation: Operation) -> BatchTaskProgress | None:
    chunks = operation.chunks.filter(state=Chunk.State.FOLLOWED)
    done = chunks.aggregate(done=Sum("task_done"))["done"]
    if done is None:
        return None
    targets = operation.targets.filter(chunk__state=Chunk.State.FOLLOWED)
    total, open_ = targets.count(), targets.filter(state=Target.State.SENT).count()
    return BatchTaskProgress(done, total, max(0, done + open_ - total))


def next_send_at(operation: Operation, first: Chunk | None) -> datetime | None:
    """Return when the first pending chunk may be sent, if it must wait."""
    if first is None or not operation.running:
        return None
    until = max(first.due_at, operation.waits_until or first.due_at)
    return until if until > timezone.now() else None


def wait_reason(operation: Operation, first: Chunk | None) -> str:
    """Return why no chunk may be sent now, as the warning on each page calls it."""
    if first is not None and first.error_code == TASKS_FULL:
        return _("IoTDA runs as many batch tasks as it allows")
    if not operation.strikes:
        return _("IoTDA asks us to slow down")
    failure = current_failure()
    if failure is None or failure.kind != PlatformState.Kind.UNREACHABLE:
        return _("The last requests to IoTDA failed")
    if failure.reached:
        return _("IoTDA answers with errors")
    return _("IoTDA cannot be reached")


def seconds_per_chunk(operation: Operation) -> float:
    """Return the recent time from one answered chunk to the next; 0.0 for too few."""
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
    hours, minutes = divmod(minutes, 60)
    return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}
