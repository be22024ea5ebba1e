from django.apps import AppConfig


class FailuresConfig(AppConfig):
    name = "iotda_admin.failures"
    label = "failures"
