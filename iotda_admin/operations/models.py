"""An operation, its chunks, and the outcome of each target."""

from collections.abc import Iterable
from typing import Self

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _


class Operation(models.Model):
    """A requested change, recorded before the first byte is sent. Shown as OP-1042."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        # Refused too often, or held: nothing is sent until a user continues or cancels it.
        PAUSED = "paused", _("Paused")
        DONE = "done", _("Done")
        STOPPED = "stopped", _("Stopped")
        CANCELLED = "cancelled", _("Cancelled")

    class PauseCause(models.TextChoices):
        REFUSALS = "", _("Refused")
        RESTORED = "restored", _("The database was restored")
        INTERRUPTED = "interrupted", _("Interrupted")

    verb = models.CharField(max_length=40)
    target_type = models.CharField(max_length=16)
    policy_id = models.CharField(max_length=36, blank=True)
    policy_name = models.CharField(max_length=128, blank=True)
    # The devices of its products or spaces when it was requested; None for devices.
    devices = models.PositiveIntegerField(null=True)
    reason = models.CharField(max_length=500)
    ticket = models.CharField(max_length=64, blank=True, db_index=True)

    actor = models.ForeignKey(
        get_user_model(), models.SET_NULL, null=True, related_name="+"
    )
    # The name and role at that time, even if the account changes later.
    actor_name = models.CharField(max_length=150)
    role = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=10)
    address = models.CharField(max_length=45, blank=True)

    # Idempotency key: the same key and input are the same operation.
    form_key = models.CharField(max_length=64)
    input_digest = models.CharField(max_length=64)
    retry_of = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="retries"
    )
    undo_of = models.ForeignKey("self", models.PROTECT, null=True, related_name="undos")
    # It is sent only once this one has ended and is done for all of its targets.
    after = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="successors"
    )

    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    # Why it stopped early: a refusal that the other calls would get as well.
    stop_code = models.CharField(max_length=64, blank=True)
    stop_message = models.CharField(max_length=512, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    finished_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    # Nothing is sent before this time: IoTDA throttles, or cannot be reached.
    waits_until = models.DateTimeField(null=True, db_column="held_until")
    # Calls in a row without a proper answer of IoTDA.
    strikes = models.PositiveIntegerField(default=0)
    # Calls in a row that were refused with the same answer, and that answer.
    refusals = models.PositiveIntegerField(default=0)
    refusal_code = models.CharField(max_length=64, blank=True)
    refusal_message = models.CharField(max_length=512, blank=True)
    pause_cause = models.CharField(max_length=12, choices=PauseCause, blank=True)
    # The answers after which a user continued it: they do not pause it again.
    accepted_refusals = models.JSONField(default=list)

    class Meta:
        default_permissions = ()
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["actor", "form_key"], name="one_operation_a_form"
            ),
        ]
        indexes = [models.Index(fields=["state", "-id"], name="operation_by_state")]

    def __str__(self) -> str:
        return f"OP-{self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("operations:operation", args=[self.pk])

    @property
    def running(self) -> bool:
        return self.state == self.State.RUNNING

    @property
    def must_wait(self) -> bool:
        """Whether nothing is to be sent now, because of a limit or an outage."""
        return self.waits_until is not None and self.waits_until > timezone.now()

    @property
    def paused(self) -> bool:
        return self.state == self.State.PAUSED

    @property
    def held(self) -> bool:
        """Whether it was paused because it is too old to go on by itself."""
        return self.paused and self.pause_cause != self.PauseCause.REFUSALS

    @property
    def ended_early(self) -> bool:
        """Whether what is pending is never sent."""
        return self.state in (self.State.STOPPED, self.State.CANCELLED)

    @property
    def refusal(self) -> str:
        """The refusal of its last calls, as `accepted_refusals` names it."""
        return self.refusal_code or self.refusal_message

    @property
    def refusals_left(self) -> int | None:
        """How many more equal refusals pause it; None if they do not."""
        limit = settings.PAUSE_AFTER_REFUSALS
        if not limit or not self.refusals or self.refusal in self.accepted_refusals:
            return None
        return max(0, limit - self.refusals)

    @cached_property
    def space(self) -> str:
        """The resource space of all its targets, for its events."""
        return space_of([self.pk])


class SenderHeartbeat(models.Model):
    """One row: when a process that sends was last alive."""

    seen_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"sender alive at {self.seen_at}"


class OperationSpace(models.Model):
    """A resource space of its targets: only users who see all of them see the operation."""

    operation = models.ForeignKey(Operation, models.PROTECT, related_name="spaces")
    # Empty for targets whose space was unknown.
    app_id = models.CharField(max_length=36, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["operation", "app_id"], name="operation_space_once"
            )
        ]

    def __str__(self) -> str:
        return f"OP-{self.operation_id} in {self.app_id}"


def space_of(operations: Iterable[int]) -> str:
    """The one resource space that these are about, for the audit trail."""
    rows = OperationSpace.objects.filter(operation__in=operations)
    return the_one(rows.values_list("app_id", flat=True).distinct()[:2])


def the_one(spaces: Iterable[str]) -> str:
    """Return the only space; * for several or none, which only users of every space see."""
    found = list(spaces)
    return found[0] or "*" if len(found) == 1 else "*"


class ChunkQuerySet(models.QuerySet["Chunk"]):
    def due(self, state: str) -> Self:
        """Return the chunks in this state that are to be sent, read back or polled now."""
        return self.filter(state=state, due_at__lte=timezone.now())

    def with_tokens(self, tokens: Iterable[tuple[int, int]]) -> Self:
        """Return the chunks that still have these fencing tokens, given by their keys."""
        own = models.Q(pk__in=[])
        for pk, token in tokens:
            own |= models.Q(pk=pk, token=token)
        return self.filter(own)


class Chunk(models.Model):
    """The targets of one write request."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        SENT = "sent", _("Sent")
        UNKNOWN = "unknown", _("No clear answer")
        # IoTDA has accepted a batch task: it is polled until each target has ended.
        FOLLOWED = "followed", _("At IoTDA")
        DONE = "done", _("Answered")

    # Not ended yet, from sending to reading back.
    OPEN = (State.PENDING, State.SENT, State.UNKNOWN, State.FOLLOWED)

    operation = models.ForeignKey(
        Operation, models.PROTECT, related_name="chunks", db_index=False
    )
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    # Fencing token: each new lease has a higher one, and results with an earlier one are void.
    token = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    # Not sent or read back before this time.
    due_at = models.DateTimeField(default=timezone.now)
    # How often reading back did not show the unanswered change, or IoTDA had no room for
    # the batch task.
    misses = models.PositiveIntegerField(default=0)
    # Sent as a batch task of IoTDA; its ID once it is known, and its progress.
    by_task = models.BooleanField(default=False)
    task_id = models.CharField(max_length=64, blank=True)
    task_done = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    http_status = models.PositiveSmallIntegerField(null=True)
    request_id = models.CharField(max_length=128, blank=True)
    # What went wrong with the call as a whole; what went wrong with one target is in its row.
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.CharField(max_length=512, blank=True)

    objects = ChunkQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        ordering = ["operation", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["operation", "number"], name="chunk_number_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["operation", "state", "number"], name="chunk_of_operation"
            ),
            models.Index(fields=["state", "due_at"], name="chunk_due"),
        ]

    def __str__(self) -> str:
        return f"chunk {self.number} of OP-{self.operation_id}"


ChunkState = Chunk.State


class Target(models.Model):
    """One device, product or resource space of an operation."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        SENT = "sent", _("Sent")
        OK = "ok", _("Done")
        ALREADY = "already", _("Already so")
        FAILED = "failed", _("Failed")
        UNKNOWN = "unknown", _("Unknown")
        SKIPPED = "skipped", _("Not sent")
        CANCELLED = "cancelled", _("Cancelled")

    IN_FLIGHT = (State.PENDING, State.SENT)
    DONE = (State.OK, State.ALREADY)
    FAILURES = (State.FAILED, State.UNKNOWN)
    # Sent, and without a definite outcome.
    UNDECIDED = (State.SENT, State.UNKNOWN)

    operation = models.ForeignKey(
        Operation, models.PROTECT, related_name="targets", db_index=False
    )
    chunk = models.ForeignKey(Chunk, models.PROTECT, related_name="targets")
    target_id = models.CharField(max_length=128)
    name = models.CharField(max_length=256, blank=True)
    # What must not be changed by two operations at once, e.g. "status of device x".
    subject = models.CharField(max_length=256)
    # Whether it already was as requested before anything was sent; None if unknown.
    stood_before = models.BooleanField(null=True)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.CharField(max_length=512, blank=True)
    settled_at = models.DateTimeField(null=True)
    # When a failure was resolved, and by which operation, sync or user.
    resolved_at = models.DateTimeField(null=True, db_column="solved_at")
    resolved_by = models.CharField(max_length=200, blank=True, db_column="solved_by")

    class Meta:
        default_permissions = ()
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["operation", "target_id"], name="target_once"
            ),
            models.UniqueConstraint(
                fields=["subject"],
                condition=models.Q(state__in=["pending", "sent"]),
                name="one_intent_in_flight",
            ),
        ]
        indexes = [
            # With the id, so that one outcome's targets are paged through without being sorted.
            models.Index(
                fields=["operation", "state", "id"], name="target_of_operation"
            ),
            models.Index(fields=["target_id"]),
            # Open failures, by cause.
            models.Index(
                fields=["error_code", "id"],
                condition=models.Q(state__in=["failed", "unknown"], resolved_at=None),
                name="target_unsolved",
            ),
            # All failures, by cause.
            models.Index(
                fields=["error_code", "operation"],
                condition=models.Q(state__in=["failed", "unknown"]),
                name="target_failure_code",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target_id} {self.state}"
