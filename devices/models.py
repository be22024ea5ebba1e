"""Our mirror of the platform's resource spaces, products and devices.

No foreign keys between them: the platform is read listing by listing, and a device may be seen
before its product.
"""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from iotda_admin.core.ids import object_url
from iotda_admin.core.search_text import SearchTextField, TidyTextField


class MirroredRow(models.Model):
    """What the three have in common: a name, a resource space and an age."""

    name = models.CharField(max_length=256)
    app_id = models.CharField(max_length=36)
    search_text = SearchTextField(["pk", "name"])
    read_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True
        default_permissions = ()

    def __str__(self) -> str:
        return self.name or str(self.pk)


class Space(MirroredRow):
    """A resource space: IoTDA's "app"."""

    app_id = models.CharField(max_length=36, primary_key=True)
    default = models.BooleanField(default=False)

    class Meta(MirroredRow.Meta):
        ordering = ["name", "app_id"]


class Product(MirroredRow):
    product_id = models.CharField(max_length=36, primary_key=True)
    app_id = models.CharField(max_length=36, db_index=True)
    app_name = models.CharField(max_length=256, blank=True)
    device_type = models.CharField(max_length=64, blank=True)
    protocol_type = models.CharField(max_length=32, blank=True)
    manufacturer_name = models.CharField(max_length=256, blank=True)

    class Meta(MirroredRow.Meta):
        ordering = ["name", "product_id"]


class Device(MirroredRow):
    class Status(models.TextChoices):
        ONLINE = "ONLINE", _("Online")
        OFFLINE = "OFFLINE", _("Offline")
        ABNORMAL = "ABNORMAL", _("Abnormal")
        INACTIVE = "INACTIVE", _("Never connected")
        FROZEN = "FROZEN", _("Frozen")

    class NodeType(models.TextChoices):
        GATEWAY = "GATEWAY", _("Directly connected")
        ENDPOINT = "ENDPOINT", _("Behind a gateway")

    device_id = models.CharField(max_length=128, primary_key=True)
    node_id = models.CharField(max_length=64, db_index=True)
    name = models.CharField(max_length=256, blank=True)
    # No choices on these two: IoTDA may send undocumented values.
    status = models.CharField(max_length=16)
    node_type = models.CharField(max_length=16)
    gateway_id = models.CharField(max_length=128, blank=True, db_index=True)
    product_id = models.CharField(max_length=36)
    product_name = models.CharField(max_length=256, blank=True)
    app_name = models.CharField(max_length=256, blank=True)
    fw_version = models.CharField(max_length=256, blank=True)
    sw_version = models.CharField(max_length=256, blank=True)
    description = models.CharField(max_length=2048, blank=True)
    tags = models.JSONField(default=list)
    search_text = SearchTextField(["device_id", "node_id", "name"])
    tidy_name = TidyTextField(["name"])

    class Meta(MirroredRow.Meta):
        ordering = ["device_id"]
        # See devices/finding.py for the pages that they serve.
        indexes = [
            models.Index(fields=fields, name=name)
            for name, fields in (
                ("device_by_kind", ["node_type", "status", "device_id"]),
                (
                    "device_by_product",
                    ["product_id", "app_id", "node_type", "status", "device_id"],
                ),
                ("device_by_space", ["app_id", "node_type", "status", "device_id"]),
                ("device_by_name", ["name", "device_id"]),
                ("device_by_product_name", ["product_id", "name", "device_id"]),
                ("device_by_space_name", ["app_id", "name", "device_id"]),
            )
        ] + [
            models.Index(
                fields=["tidy_name"],
                condition=~models.Q(tidy_name=""),
                name="device_by_tidy_name",
            )
        ]

    def get_absolute_url(self) -> str:
        return object_url("devices:device", self.device_id)

    @property
    def direct(self) -> bool:
        """Only a directly connected device can be frozen."""
        return self.gateway_id in ("", self.device_id)

    @property
    def frozen(self) -> bool:
        return self.status == self.Status.FROZEN


def status_subject(device_id: str) -> str:
    """Return the subject of operations that change the status of a device."""
    return f"status of {device_id}"
