"""Where Celery looks for the app: `celery -A iotda_admin worker`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotda_admin.settings")
django.setup()

from iotda_admin.operations.execution.celery_app import app  # noqa: E402

__all__ = ["app"]
