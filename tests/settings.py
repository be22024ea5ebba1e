"""The product's own settings, with what a test run needs: no HTTPS, short deadlines, its own database."""

import os
import tempfile

os.environ.update(
    DATA_DIR=os.environ.get("TEST_DATA_DIR")
    or tempfile.mkdtemp(prefix="iotda-admin-test-"),
    DEBUG="False",
    HTTPS="False",
    IOTDA_DEADLINE=os.environ.get("IOTDA_DEADLINE", "2"),
    # What the rate does is tested in tests/rate; elsewhere it would only take time.
    IOTDA_RATE=os.environ.get("IOTDA_RATE", "0"),
    # Many tests have every call refused; tests/operations/test_pause.py sets it.
    PAUSE_AFTER_REFUSALS="0",
    READ_BACK_GAP="0",
    LOG_LEVEL=os.environ.get("TEST_LOG_LEVEL", "error"),
)
from iotda_admin.settings import *  # noqa: F403 - a settings module
from iotda_admin.settings import DATA_DIR, DATABASES, ROOT_URLCONF

if "sqlite3" in str(DATABASES["default"]["ENGINE"]):
    # A file, not memory: the live server, the worker and the test are different connections.
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}
    if "TEST_LOCK_SECONDS" in os.environ:
        DATABASES["default"]["OPTIONS"]["timeout"] = int(
            os.environ["TEST_LOCK_SECONDS"]
        )
ROOT_URLCONF = os.environ.get("TEST_ROOT_URLCONF", ROOT_URLCONF)
# Argon2 costs a tenth of a second for each user of each test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "tests.static_files.PlainStorage"},
}
WHITENOISE_AUTOREFRESH = True
