"""Settings for controls: pages wait for locks, and lost connections are used."""

from iotda_admin.core import database as waits
from tests.settings import *  # noqa: F403 - a settings module
from tests.settings import DATABASES

waits.SPARE_SECONDS = 600
DATABASES["default"]["OPTIONS"].get("pool", {}).pop("check", None)
