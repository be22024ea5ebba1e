from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = _("Devices")

    def ready(self) -> None:
        from devices.counts import install_counts
        from devices.search_index import install_search_index

        post_migrate.connect(install_search_index, sender=self)
        post_migrate.connect(install_counts, sender=self)
