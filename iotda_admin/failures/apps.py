from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.roles import declare_permission


class FailuresConfig(AppConfig):
    name = "iotda_admin.failures"
    label = "failures"

    def ready(self) -> None:
        declare_permission(
            "failures.change_care",
            _("Can assign and resolve failures"),
            "operator",
            "policy admin",
            "admin",
            model="assignment",
        )
