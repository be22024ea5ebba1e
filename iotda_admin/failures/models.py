"""Assignments of failures. A failure itself is a target of an operation."""

from django.contrib.auth import get_user_model
from django.db import models

from iotda_admin.operations.models import Target


class Assignment(models.Model):
    """Who takes care of a failure, with a note and a ticket."""

    target = models.OneToOneField(
        Target, models.PROTECT, primary_key=True, related_name="assignment"
    )
    assignee = models.ForeignKey(
        get_user_model(),
        models.SET_NULL,
        null=True,
        related_name="+",
        db_column="owner_id",
    )
    # A copy: it outlives the account.
    assignee_name = models.CharField(
        max_length=150, blank=True, db_index=True, db_column="owner_name"
    )
    note = models.CharField(max_length=500, blank=True)
    ticket = models.CharField(max_length=64, blank=True, db_index=True)
    # When a user resolved the failure by hand.
    closed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "failures_care"
        default_permissions = ()
        indexes = [
            models.Index(
                fields=["target"],
                condition=models.Q(closed_at__isnull=False),
                name="care_closed",
            )
        ]


class AutoResolveProgress(models.Model):
    """How far the open failures were compared with the last complete sync."""

    # The start of that sync, and the last compared target: the newest come first.
    fresh_at = models.DateTimeField()
    reached = models.BigIntegerField()

    class Meta:
        db_table = "failures_look"
        default_permissions = ()
