from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.roles import declare_permission


class OperationsConfig(AppConfig):
    name = "iotda_admin.operations"
    label = "operations"
    verbose_name = _("Operations")

    def ready(self) -> None:
        from iotda_admin.audit import hooks
        from iotda_admin.operations.models import Operation
        from iotda_admin.operations.permissions import operation_reaches_outside
        from iotda_admin.operations.verbs import all_verbs

        declare_permission(
            "operations.view_own_operation",
            _("Can see failures of own operations, and own audit events"),
            "operator",
            "policy admin",
            "auditor",
            "admin",
        )
        declare_permission(
            "operations.view_operation",
            _("Can see failures of the operations of all users"),
            "policy admin",
            "auditor",
            "admin",
        )
        autodiscover_modules("verbs")
        hooks.operations = hooks.OperationHooks(
            verb_names=[verb.name for verb in all_verbs()],
            exist=Operation.objects.exists,
            reach_outside=operation_reaches_outside,
        )
