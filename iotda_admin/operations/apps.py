from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class OperationsConfig(AppConfig):
    name = "iotda_admin.operations"
    label = "operations"
    verbose_name = _("Operations")

    def ready(self) -> None:
        from iotda_admin.audit.search.filters import VERB_NAMES
        from iotda_admin.operations.verbs import all_verbs

        autodiscover_modules("verbs")
        VERB_NAMES[:] = [verb.name for verb in all_verbs()]
