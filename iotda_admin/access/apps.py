from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.roles import create_permissions


class AccessConfig(AppConfig):
    name = "iotda_admin.access"
    label = "access"
    verbose_name = _("Access")

    def ready(self) -> None:
        post_migrate.connect(create_permissions, sender=self)
