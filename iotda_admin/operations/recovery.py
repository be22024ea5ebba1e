"""What became of the calls that nobody answered: read the platform back, then settle.

Nothing here is ever sent again: somebody may have changed the target since.
"""

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from iotda_admin.connection import client as configured_client
from iotda_admin.iotda import Client, IotdaError
from iotda_admin.operations.codes import CHANGED_SINCE, NOT_APPLIED
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.runner import State, hold, settle
from iotda_admin.operations.tasks import nudge
from iotda_admin.operations.verbs import Verdict, verb_named

log = logging.getLogger(__name__)

# One look can be too early: the platform's listing may lag behind its own change.
LOOKS = 2
RETRY_SECONDS = 15
NUDGE_SECONDS = 10
# A reader that has not come back after this long is taken for dead.
READER_SECONDS = 120
# A later operation on the same target that may still change it: until it is settled, nothing can be told.
OPEN = (State.PENDING, State.SENT, State.UNKNOWN)
# A later operation did change it: the platform no longer tells about this one.
CHANGED = Verdict(State.UNKNOWN, CHANGED_SINCE)
MISSED = Verdict(State.FAILED, NOT_APPLIED)


def sweep() -> None:
    """Run again and again by the worker: what stands still is moved on."""
    give_up_leases()
    call_workers()
    for chunk_id in list(due().values_list("pk", flat=True)[:50]):
        read_back(chunk_id, configured_client())


def give_up_leases() -> None:
    """A chunk whose sender died is neither applied nor refused, as far as anyone knows: unknown."""
    expired = Chunk.objects.filter(state=Chunk.State.SENT, lease_until__lt=timezone.now())
    for chunk in expired.select_related("operation"):
        with transaction.atomic():
            hold(chunk)
            taken = Chunk.objects.filter(pk=chunk.pk, token=chunk.token, state=Chunk.State.SENT).update(
                state=Chunk.State.UNKNOWN, token=chunk.token + 1, lease_until=None, due_at=timezone.now()
            )
            if taken:
                Target.objects.filter(chunk=chunk, state=State.SENT).update(state=State.UNKNOWN)
                log.warning("%s: no answer was recorded, reading back", chunk)


def call_workers() -> None:
    """A message to the workers can get lost; the rows cannot."""
    now = timezone.now()
    waiting = Chunk.objects.filter(operation=OuterRef("pk"), state=Chunk.State.PENDING, due_at__lte=now)
    forgotten = Q(nudged_at=None) | Q(nudged_at__lt=now - timedelta(seconds=NUDGE_SECONDS))
    running = Operation.objects.filter(forgotten, Exists(waiting), state=Operation.State.RUNNING)
    for operation_id in running.values_list("pk", flat=True)[:100]:
        nudge(operation_id)


def due() -> QuerySet[Chunk]:
    return Chunk.objects.filter(state=Chunk.State.UNKNOWN, due_at__lte=timezone.now()).order_by("due_at")


def read_back(chunk_id: int, client: Client) -> None:
    """Look at the platform for each unknown target of a chunk and settle those that can be told."""
    chunk = due().filter(pk=chunk_id).select_related("operation").first()
    if chunk is None or not take(chunk):
        return
    ids = list(chunk.targets.filter(state=State.UNKNOWN).values_list("target_id", flat=True))
    try:
        stands = verb_named(chunk.operation.verb).read_back(client, chunk.operation, ids)
    except IotdaError as error:
        mine(chunk).update(
            due_at=timezone.now() + timedelta(seconds=RETRY_SECONDS), error_message=error.message[:512]
        )
        return
    record_reading(chunk, {id: stands.get(id, False) for id in ids})


def take(chunk: Chunk) -> bool:
    """Exactly one reader at a time, and another one if this one dies."""
    later = timezone.now() + timedelta(seconds=READER_SECONDS)
    taken = mine(chunk).filter(due_at=chunk.due_at).update(token=chunk.token + 1, due_at=later)
    chunk.token += taken
    return bool(taken)


def mine(chunk: Chunk) -> QuerySet[Chunk]:
    """The chunk, as long as no other reader has taken it over."""
    return Chunk.objects.filter(pk=chunk.pk, state=Chunk.State.UNKNOWN, token=chunk.token)


@transaction.atomic
def record_reading(chunk: Chunk, stands: dict[str, bool]) -> None:
    """Settle what the reading tells. The first reading that is recorded counts; a late one is void."""
    hold(chunk)
    waiting = touched_later(chunk, stands, OPEN)
    told = {id: so for id, so in stands.items() if id not in waiting}
    verdicts = dict.fromkeys(touched_later(chunk, told, (State.OK,)), CHANGED)
    verdicts |= {id: Verdict(State.OK) for id, so in told.items() if so and id not in verdicts}
    missing = [id for id in told if id not in verdicts]
    changes: dict[str, Any]
    if waiting:
        changes = {"due_at": timezone.now() + timedelta(seconds=RETRY_SECONDS)}
    elif missing and chunk.misses + 1 < LOOKS:
        again = timezone.now() + timedelta(seconds=settings.READ_BACK_GAP)
        changes = {"due_at": again, "misses": chunk.misses + 1}
    else:
        changes = {"state": Chunk.State.DONE}
        verdicts |= dict.fromkeys(missing, MISSED)
    if mine(chunk).update(**changes):
        before = dict(chunk.targets.values_list("target_id", "stood_before"))
        settle(chunk, verdicts, before)


def touched_later(chunk: Chunk, ids: Collection[str], states: Collection[State]) -> set[str]:
    """The targets that a later operation touched as well and that stand there in one of these states."""
    later = Target.objects.filter(subject=OuterRef("subject"), pk__gt=OuterRef("pk"), state__in=states)
    own = chunk.targets.filter(target_id__in=ids)
    return set(own.filter(Exists(later)).values_list("target_id", flat=True))
