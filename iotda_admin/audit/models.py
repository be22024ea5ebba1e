"""The trail: events, how each of their targets ended, and what is left of the segments that were removed.

Rows are added by `audit.record` alone; the database itself refuses to change or delete them (guard.py).
"""

from typing import Any, NoReturn

from django.db import models
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from iotda_admin.audit.canonical import CanonicalJson


class AppendOnlyQuerySet[M: models.Model](models.QuerySet[M]):
    def refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("The audit trail is never changed; audit.record adds to it.")

    update = delete = create = bulk_create = bulk_update = refuse


class AppendOnlyModel(models.Model):
    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("The audit trail is never changed; audit.record adds to it.")

    delete = save


class Event(AppendOnlyModel):
    """One thing that happened. Its id counts without gaps: a missing one was removed by force."""

    class Kind(models.TextChoices):
        OPERATION_ASKED = "operation.asked", _("Asked")
        # Written before the call, so it may still come to nothing.
        CHUNK_SENT = "chunk.sent", _("About to be sent")
        CHUNK_ANSWERED = "chunk.answered", _("Answered")
        CHUNK_NOT_SENT = "chunk.not_sent", _("Not carried out, to be sent again")
        CHUNK_UNANSWERED = "chunk.unanswered", _("No clear answer")
        CHUNK_SETTLED = "chunk.settled", _("Settled by looking at IoTDA")
        CHUNK_DROPPED = "chunk.dropped", _("Not sent any more")
        OPERATION_CHECKED = "operation.checked", _("Looked up")
        OPERATION_CANCELLED = "operation.cancelled", _("Cancelled")
        OPERATION_ENDED = "operation.ended", _("Ended")
        FAILURE_NOTED = "failure.noted", _("Failure noted")
        FAILURE_SOLVED = "failure.solved", _("Failure solved")
        DENIED = "denied", _("Not allowed")
        LOGIN = "login", _("Signed in")
        LOGIN_FAILED = "login.failed", _("Sign-in failed")
        LOGIN_THROTTLED = "login.throttled", _("Sign-in locked")
        LOGOUT = "logout", _("Signed out")
        ACCOUNT_CHANGED = "account.changed", _("User or role changed")
        SETTINGS_CHECKED = "settings.checked", _("Settings checked")
        EXPORT = "export", _("Exported")
        AUDIT_PRUNED = "audit.pruned", _("Old part of the trail archived")

    # The outcome "denied" of the filters.
    DENIALS = (Kind.DENIED, Kind.LOGIN_FAILED, Kind.LOGIN_THROTTLED)

    id = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    # No choices: a new kind must not rewrite the table.
    kind = models.CharField(max_length=40)
    # Of the web request; the same stands in the log.
    request_id = models.CharField(max_length=64)
    # No foreign keys: a row must not change when an account goes.
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
    # The resource space it is about: empty for none, * for several.
    space = models.CharField(max_length=36)
    summary = models.CharField(max_length=500)
    reason = models.CharField(max_length=500)
    ticket = models.CharField(max_length=64)
    outcome = models.CharField(max_length=200)
    # IoTDA's X-Request-Id, by which Huawei Cloud finds the call.
    upstream_id = models.CharField(max_length=128)
    outside_hours = models.BooleanField()
    detail = CanonicalJson()
    # Which key the hash was made with; empty for none.
    key_id = models.CharField(max_length=8)
    hash = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()
        ordering = ["-id"]
        # Each filter is followed by the key that the trail is paged by.
        indexes = [
            models.Index(fields=["at", "id"], name="event_at"),
            models.Index(fields=["kind", "id"], name="event_kind"),
            models.Index(fields=["actor_name", "id"], name="event_actor"),
            # Own events: whoever is renamed keeps them.
            models.Index(fields=["actor_id", "id"], name="event_actor_id"),
            models.Index(fields=["verb", "id"], name="event_verb"),
            models.Index(fields=["policy_id", "id"], name="event_policy"),
            models.Index(fields=["policy_name", "id"], name="event_policy_name"),
            # As people write them: inc-42 is INC-42.
            models.Index(Upper("ticket"), "id", name="event_ticket_upper"),
            models.Index(fields=["operation", "id"], name="event_operation"),
            models.Index(fields=["source", "id"], name="event_source"),
            models.Index(
                fields=["id"],
                condition=models.Q(outside_hours=True),
                name="event_outside_hours",
            ),
            # A whole resource space at once: what auditors ask for.
            models.Index(
                fields=["id"],
                condition=models.Q(target_type="app"),
                name="event_whole_space",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind} {self.actor_name}"


class Outcome(AppendOnlyModel):
    """What an event says of one target. Part of the event, and of its hash."""

    event = models.ForeignKey(
        Event,
        models.DO_NOTHING,
        related_name="outcomes",
        db_constraint=False,
        db_index=False,
    )
    target_id = models.CharField(max_length=128)
    target_name = models.CharField(max_length=256)
    # A state of operations' targets; empty where the event tells only that it was about this target.
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

    def __str__(self) -> str:
        return f"{self.target_id} {self.outcome}"


class ReasonWord(models.Model):
    """A word of a reason that an event brought in, to find it by. Made from the events, so not hashed."""

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
            # PostgreSQL finds the beginning of a word only so; SQLite needs nothing said.
            models.Index(
                fields=["word", "event"],
                opclasses=["varchar_pattern_ops", "int8_ops"],
                name="reason_word_like",
            ),
        ]

    def __str__(self) -> str:
        return self.word


class Anchor(AppendOnlyModel):
    """The end of the segments that were archived and removed: the chain goes on from its hash."""

    last = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=64)
    at = models.DateTimeField()
    archive = models.CharField(max_length=255)

    class Meta:
        default_permissions = ()
        ordering = ["last"]

    def __str__(self) -> str:
        return f"{self.last}:{self.hash}"
