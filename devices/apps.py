from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.roles import declare_permission


class DevicesConfig(AppConfig):
    name = "devices"
    label = "devices"
    verbose_name = _("Devices")

    def ready(self) -> None:
        declare_permission(
            "devices.freeze_device",
            _("Can freeze and unfreeze devices"),
            "operator",
            "admin",
            limited=True,
        )
