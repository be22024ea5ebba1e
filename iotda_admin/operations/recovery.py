"""What became of the calls that nobody answered: read the platform back, then settle.

Nothing here is ever sent again: somebody may have changed the target since.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from iotda_admin.connection import client as configured_client
from iotda_admin.iotda import Client, IotdaError
from iotda_admin.operations.codes import CHANGED_SINCE, NOT_APPLIED
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.runner import State, settle
from iotda_admin.operations.tasks import nudge
from iotda_admin.operations.verbs import Verdict, verb_named

log = logging.getLogger(__name__)

# One look can be too early: the platform's listing may lag behind its own change.
LOOKS = 2
RETRY_SECONDS = 15
NUDGE_SECONDS = 10
CHANGED_NOTHING = (State.ALREADY, State.FAILED, State.SKIPPED, State.CANCELLED)


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
        Chunk.objects.filter(pk=chunk.pk, state=Chunk.State.UNKNOWN).update(
            due_at=timezone.now() + timedelta(seconds=RETRY_SECONDS), error_message=error.message[:512]
        )
        return
    record_reading(chunk, {id: stands.get(id, False) for id in ids})


def take(chunk: Chunk) -> bool:
    """Exactly one reader at a time, and another one if this one dies."""
    later = timezone.now() + timedelta(seconds=2 * settings.IOTDA_DEADLINE)
    return bool(
        Chunk.objects.filter(pk=chunk.pk, state=Chunk.State.UNKNOWN, due_at=chunk.due_at).update(due_at=later)
    )


@transaction.atomic
def record_reading(chunk: Chunk, stands: dict[str, bool]) -> None:
    before = dict(chunk.targets.values_list("target_id", "stood_before"))
    verdicts = changed_since(chunk, list(stands))
    verdicts |= {id: Verdict(State.OK) for id, so in stands.items() if so and id not in verdicts}
    missing = [id for id in stands if id not in verdicts]
    last_look = chunk.misses + 1 >= LOOKS
    if last_look:
        message = _("IoTDA did not apply it. Nothing was changed.")
        verdicts |= {id: Verdict(State.FAILED, NOT_APPLIED, message) for id in missing}
    if missing and not last_look:
        Chunk.objects.filter(pk=chunk.pk).update(
            misses=chunk.misses + 1, due_at=timezone.now() + timedelta(seconds=settings.READ_BACK_GAP)
        )
    else:
        Chunk.objects.filter(pk=chunk.pk).update(state=Chunk.State.DONE)
    settle(chunk, verdicts, before)


def changed_since(chunk: Chunk, ids: list[str]) -> dict[str, Verdict]:
    """Where a later operation changed the same target, the platform no longer tells about this one."""
    own = chunk.targets.filter(target_id__in=ids)
    later = Target.objects.filter(subject=OuterRef("subject"), pk__gt=OuterRef("pk")).exclude(
        state__in=CHANGED_NOTHING
    )
    verdict = Verdict(
        State.UNKNOWN,
        CHANGED_SINCE,
        _("It was changed again before it could be checked: see its later operations."),
    )
    return dict.fromkeys(own.filter(Exists(later)).values_list("target_id", flat=True), verdict)
