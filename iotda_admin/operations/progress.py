"""How far an operation has come, what it waits for, and about how long it still takes."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Min, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import verb_named
from iotda_admin.rate.gate import seconds_for

# Not worth a word.
SOON = 3.0
# Of a large operation less changes in a second than one can read.
LARGE = 1000


@dataclass(frozen=True, slots=True)
class Followed:
    """What IoTDA has done of its batch tasks, of how many; not all of it may be recorded with us yet."""

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
    followed: Followed | None
    held_until: datetime | None
    # It is held because IoTDA cannot be reached, not because it asks to wait.
    unreached: bool
    seconds_left: float
    # Seconds until the page is to be asked for again.
    poll: int

    @property
    def done(self) -> int:
        return self.answered + (self.followed.unrecorded if self.followed else 0)

    @property
    def wait(self) -> str:
        """How long it still takes in words, if it is worth a word."""
        return about(self.seconds_left) if self.seconds_left > SOON and not self.held_until else ""

    @property
    def rate(self) -> float:
        return settings.IOTDA_RATE


def progress_of(operation: Operation, total: int, waiting: int) -> Progress:
    if not waiting:
        return Progress(total, None, None, False, 0.0, 3)
    return Progress(
        answered=total - waiting,
        followed=followed(operation),
        held_until=held_until(operation),
        unreached=operation.strikes > 0,
        seconds_left=time_left(operation),
        poll=1 if total <= LARGE else 3,
    )


def followed(operation: Operation) -> Followed | None:
    chunks = operation.chunks.filter(state=Chunk.State.FOLLOWED)
    done = chunks.aggregate(done=Sum("task_done"))["done"]
    if done is None:
        return None
    targets = Target.objects.filter(chunk__in=chunks)
    total, open_ = targets.count(), targets.filter(state=Target.State.SENT).count()
    return Followed(done, total, total - open_)


def held_until(operation: Operation) -> datetime | None:
    """When the next chunk may be sent, if it has to wait."""
    if not operation.running:
        return None
    now, pending = timezone.now(), operation.chunks.filter(state=Chunk.State.PENDING)
    held = operation.held_until if operation.held_until and operation.held_until > now else None
    if not held and pending.filter(due_at__lte=now).exists():
        return None
    first = pending.aggregate(first=Min("due_at"))["first"]
    return max(first, held or first) if first else None


def time_left(operation: Operation) -> float:
    """About how long the calls take that are still to be made, if nobody else makes any."""
    left = operation.chunks.filter(state=Chunk.State.PENDING, by_task=False).count()
    return seconds_for(left * verb_named(operation.verb).calls)


def about(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return _("%(n)d s") % {"n": round(seconds)}
    if minutes < 90:
        return _("%(n)d min") % {"n": minutes}
    return _("%(hours)d h %(minutes)d min") % {"hours": minutes // 60, "minutes": minutes % 60}
