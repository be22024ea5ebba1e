"""The control of signins.py: settings without a limit of sign-ins, and Django's hasher."""

from iotda_admin.settings import *  # noqa: F403 - a settings module

PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
PASSWORD_CHECKS_AT_ONCE = PASSWORD_HASHES_AT_ONCE = 1000
