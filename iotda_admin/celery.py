"""Where Celery looks for the app: `celery -A iotda_admin worker`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotda_admin.settings")
django.setup()

from django.conf import settings  # noqa: E402 - after setup()

from iotda_admin.core.database import limit_waits  # noqa: E402 - after setup()
from iotda_admin.operations.execution.celery_app import app  # noqa: E402 - after setup()

limit_waits(settings.WORKER_LOCK_TIMEOUT, settings.WORKER_STATEMENT_TIMEOUT)

__all__ = ["app"]
