from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.roles import declare_permission


class AuditConfig(AppConfig):
    name = "iotda_admin.audit"
    label = "audit"
    verbose_name = _("Audit")

    def ready(self) -> None:
        from iotda_admin.audit.triggers import install_triggers

        post_migrate.connect(install_triggers, sender=self)
        declare_permission(
            "audit.view_event", _("Can read the audit trail"), "auditor", "admin"
        )
        declare_permission(
            "audit.export_event", _("Can export the audit trail"), "auditor", "admin"
        )
