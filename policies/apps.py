from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.roles import declare_permission


class PoliciesConfig(AppConfig):
    name = "policies"
    label = "policies"
    verbose_name = _("Policies")

    def ready(self) -> None:
        declare_permission(
            "policies.bind_policy",
            _("Can bind and unbind policies"),
            "policy admin",
            "admin",
            model="binding",
            limited=True,
        )
        declare_permission(
            "policies.bind_space",
            _("Can bind and unbind policies on a whole resource space"),
            "policy admin",
            "admin",
            model="binding",
            limited=True,
        )
