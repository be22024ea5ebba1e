from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RateConfig(AppConfig):
    name = "iotda_admin.rate"
    label = "rate"
    verbose_name = _("Rate")
