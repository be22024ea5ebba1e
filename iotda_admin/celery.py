"""Where Celery looks for the app: `celery -A iotda_admin worker`."""

from iotda_admin.operations.execution.celery_app import app

__all__ = ["app"]
