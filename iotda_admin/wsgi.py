import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotda_admin.settings")

application = get_wsgi_application()

from django.conf import settings  # noqa: E402 - after setup()

from iotda_admin.core.database import limit_waits  # noqa: E402 - after setup()

limit_waits(settings.DATABASE_LOCK_TIMEOUT, settings.DATABASE_STATEMENT_TIMEOUT)

# A wrong setting stops the start, not the first click.
from iotda_admin.health.secret_key import require_secret_key  # noqa: E402 - after setup()
from iotda_admin.rate.connection import client  # noqa: E402 - after setup()
from iotda_admin.urls import urlpatterns  # noqa: E402, F401 - before any fork

client()
require_secret_key()
