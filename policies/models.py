"""The mirror of the device policies and their bindings."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from iotda_admin.core.ids import is_id, object_url
from policies.statements import PolicyRule, parse_statements

# Source: the bind page's IOTDA.015204 and the policy pages of the platform.
POLICIES_PER_TARGET = 5


class TargetType(models.TextChoices):
    DEVICE = "device", _("Devices")
    PRODUCT = "product", _("Products")
    SPACE = "app", _("A whole resource space")


class Policy(models.Model):
    policy_id = models.CharField(max_length=36, primary_key=True)
    name = models.CharField(max_length=128)
    app_id = models.CharField(max_length=36, blank=True)
    # None until the policy itself was read: the platform's list leaves the statements out.
    statements = models.JSONField(null=True)
    create_time = models.CharField(max_length=32, blank=True)
    update_time = models.CharField(max_length=32, blank=True)
    read_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        ordering = ["name", "policy_id"]

    def __str__(self) -> str:
        return self.name or self.policy_id

    def get_absolute_url(self) -> str:
        return object_url("policies:policy", self.policy_id)

    @property
    def rules(self) -> list[PolicyRule]:
        return parse_statements(self.statements)


class Binding(models.Model):
    """A policy on a target.

    It is known from the policies' target lists and from our own operations: IoTDA cannot
    say which policies a device has.
    """

    policy = models.ForeignKey(
        Policy, models.CASCADE, db_constraint=False, related_name="bindings"
    )
    target_type = models.CharField(max_length=16, choices=TargetType)
    target_id = models.CharField(max_length=128)
    read_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "target_type", "target_id"], name="binding_once"
            ),
        ]
        indexes = [models.Index(fields=["target_type", "target_id"])]

    def __str__(self) -> str:
        return f"{self.policy_id} on {self.target_type} {self.target_id}"

    @property
    def choosable(self) -> bool:
        """Return whether it can be unbound: IoTDA accepts its IDs and target type."""
        ids = is_id(self.policy_id) and is_id(self.target_id)
        return ids and self.target_type in TargetType.values


def binding_subject(policy_id: str, target_type: str, target_id: str) -> str:
    """Return the subject of operations that bind or unbind a policy."""
    return f"{policy_id} on {target_type} {target_id}"
