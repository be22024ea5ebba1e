"""The audit trail: events, the outcomes of their targets, and anchors of archived segments.

Only ``audit.record`` adds rows. Database triggers reject changes and deletions; see
``audit.triggers``. ``DenialCount`` is no part of the trail.
"""

from typing import Any, NoReturn

from django.db import models
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from iotda_admin.audit.canonical import CanonicalJson

APPEND_ONLY = "The audit trail is append-only: use audit.record to add events."
# The columns of the filters, by the name of their index.
FILTER_COLUMNS = {
    "at": "at",
    "kind": "kind",
    # A user's own events are found by id, because users can be renamed.
    "actor_id": "actor_id",
    "verb": "verb",
    "policy": "policy_id",
    "operation": "operation",
    "source": "source",
}


class AppendOnlyQuerySet[M: models.Model](models.QuerySet[M]):
    def refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(APPEND_ONLY)

    update = delete = create = bulk_create = bulk_update = refuse


class AppendOnlyModel(models.Model):
    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(APPEND_ONLY)

    delete = save


class Event(AppendOnlyModel):
    """One event. Ids have no gaps, so a missing id is a deleted event."""

    class Kind(models.TextChoices):
        OPERATION_REQUESTED = "operation.asked", _("Requested")
        # Recorded before the request, which may still not be sent.
        CHUNK_SENT = "chunk.sent", _("About to be sent")
        CHUNK_ANSWERED = "chunk.answered", _("Answered")
        CHUNK_NOT_SENT = "chunk.not_sent", _("Not applied, will be sent again")
        CHUNK_UNANSWERED = "chunk.unanswered", _("No clear answer")
        CHUNK_RECONCILED = "chunk.settled", _("Outcome read from IoTDA")
        CHUNK_DROPPED = "chunk.dropped", _("Will not be sent")
        OPERATION_CHECKED = "operation.checked", _("Checked again")
        OPERATION_PAUSED = "operation.paused", _("Paused")
        OPERATION_CONTINUED = "operation.continued", _("Continued")
        OPERATION_CANCELLED = "operation.cancelled", _("Cancelled")
        OPERATION_ENDED = "operation.ended", _("Ended")
        FAILURE_NOTED = "failure.noted", _("Failure noted")
        FAILURE_RESOLVED = "failure.solved", _("Failure resolved")
        DRIFT = "drift", _("Changed outside IoTDA Admin")
        DENIED = "denied", _("Not allowed")
        LOGIN = "login", _("Signed in")
        LOGIN_FAILED = "login.failed", _("Sign-in failed")
        LOGIN_THROTTLED = "login.throttled", _("Sign-in locked")
        LOGOUT = "logout", _("Signed out")
        ACCOUNT_CHANGED = "account.changed", _("User or role changed")
        DATABASE_RESTORED = "database.restored", _("Database restored from a backup")
        SETTINGS_CHECKED = "settings.checked", _("Settings checked")
        EXPORT = "export", _("Exported")
        AUDIT_PRUNED = "audit.pruned", _("Old events archived")

    # The kinds that the filter outcome=denied finds.
    DENIALS = (Kind.DENIED, Kind.LOGIN_FAILED, Kind.LOGIN_THROTTLED)

    id = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    # No choices, because on SQLite a new kind would then rewrite the table.
    kind = models.CharField(max_length=40)
    # The id of the web request, as in the log.
    request_id = models.CharField(max_length=64)
    # Not a foreign key, so that deleting an account changes no event.
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150)
    role = models.CharField(max_length=100)
    source = models.CharField(max_length=10)
    address = models.CharField(max_length=45)
    operation = models.BigIntegerField(null=True)
    chunk = models.IntegerField(null=True)
    attempt = models.IntegerField(null=True)
    verb = models.CharField(max_length=40)
    policy_id = models.CharField(max_length=36)
    policy_name = models.CharField(max_length=128)
    target_type = models.CharField(max_length=16)
    # The resource space of the targets: empty for none, * for several.
    space = models.CharField(max_length=36)
    summary = models.CharField(max_length=500)
    reason = models.CharField(max_length=500)
    ticket = models.CharField(max_length=64)
    outcome = models.CharField(max_length=200)
    # IoTDA's X-Request-Id, which Huawei Cloud support needs to find the call.
    upstream_id = models.CharField(max_length=128)
    outside_hours = models.BooleanField()
    detail = CanonicalJson()
    # Identifies the key of the hash; empty if there was no key.
    key_id = models.CharField(max_length=8)
    hash = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()
        ordering = ["-id"]
        # Each filter column is followed by id, the key of the pagination.
        indexes = [
            *(
                models.Index(fields=[column, "id"], name=f"event_{name}")
                for name, column in FILTER_COLUMNS.items()
            ),
            # Names match in any case: inc-42 finds INC-42.
            models.Index(Upper("ticket"), "id", name="event_ticket_upper"),
            models.Index(Upper("actor_name"), "id", name="event_actor_upper"),
            models.Index(Upper("policy_name"), "id", name="event_policy_upper"),
            models.Index(
                fields=["id"],
                condition=models.Q(outside_hours=True),
                name="event_outside_hours",
            ),
            # Operations on a whole resource space.
            models.Index(
                fields=["id"],
                condition=models.Q(target_type="app"),
                name="event_whole_space",
            ),
        ]


class Outcome(AppendOnlyModel):
    """One target of an event, with its outcome. The hash of the event covers it."""

    event = models.ForeignKey(
        Event,
        models.DO_NOTHING,
        related_name="outcomes",
        db_constraint=False,
        db_index=False,
    )
    target_id = models.CharField(max_length=128)
    target_name = models.CharField(max_length=256)
    # A Target.State of operations; empty if the event has no outcome yet.
    outcome = models.CharField(max_length=10)
    code = models.CharField(max_length=64)
    message = models.CharField(max_length=512)

    class Meta:
        default_permissions = ()
        ordering = ["id"]
        indexes = [
            models.Index(fields=["event", "id"], name="outcome_event"),
            models.Index(fields=["target_id", "event"], name="outcome_target"),
            models.Index(
                fields=["outcome", "event"],
                condition=~models.Q(outcome=""),
                name="outcome_outcome",
            ),
            models.Index(
                fields=["code", "event"],
                condition=~models.Q(code=""),
                name="outcome_code",
            ),
        ]


class ReasonWord(models.Model):
    """A word of a reason, to search by. Derived from the event, so not hashed."""

    word = models.CharField(max_length=40)
    event = models.ForeignKey(
        Event,
        models.DO_NOTHING,
        related_name="words",
        db_constraint=False,
        db_index=False,
    )

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["event"], name="reason_word_event"),
            # PostgreSQL needs these operator classes to search by prefix.
            models.Index(
                fields=["word", "event"],
                opclasses=["varchar_pattern_ops", "int8_ops"],
                name="reason_word_like",
            ),
        ]


class Anchor(AppendOnlyModel):
    """The last event of an archived and deleted segment. The chain continues from its hash."""

    last = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=64)
    at = models.DateTimeField()
    archive = models.CharField(max_length=255)

    class Meta:
        default_permissions = ()
        ordering = ["last"]


class DenialCount(models.Model):
    """The denied requests of one user in a minute, until they are all in the trail."""

    actor_id = models.BigIntegerField(primary_key=True)
    since = models.DateTimeField()
    requests = models.PositiveIntegerField(default=0)
    # About those without an event of their own: the end, columns of the event that they
    # become, and its detail with the targets.
    until = models.DateTimeField(null=True)
    columns = models.JSONField(default=dict)
    facts = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.requests} denied requests of user {self.actor_id}"
