"""What people write down about failed targets. The failures themselves are operations' targets."""

from django.contrib.auth import get_user_model
from django.db import models

from iotda_admin.operations.models import Target


class Care(models.Model):
    """Who takes care of a failed target, and what is to be known of it."""

    target = models.OneToOneField(
        Target, models.PROTECT, primary_key=True, related_name="care"
    )
    owner = models.ForeignKey(
        get_user_model(), models.SET_NULL, null=True, related_name="+"
    )
    # Kept as it was, whatever becomes of the account.
    owner_name = models.CharField(max_length=150, blank=True, db_index=True)
    note = models.CharField(max_length=500, blank=True)
    ticket = models.CharField(max_length=64, blank=True, db_index=True)
    # Since when it counts as solved because somebody said so.
    closed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(
                fields=["target"],
                condition=models.Q(closed_at__isnull=False),
                name="care_closed",
            )
        ]

    def __str__(self) -> str:
        return f"care of {self.target_id}"


class Look(models.Model):
    """How far the open failures were held against the last whole reading of the inventory."""

    # The start of that reading, and the target that was looked at last; all above it were.
    fresh_at = models.DateTimeField()
    reached = models.BigIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"look at {self.fresh_at:%Y-%m-%d %H:%M:%S} down to {self.reached}"
