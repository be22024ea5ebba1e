"""The tests' settings with the product's hasher, or as Django has it: without limits."""

import os

from iotda_admin.settings import PASSWORD_HASHERS as OWN
from tests.settings import *  # noqa: F403 - a settings module
from tests.settings import PASSWORD_HASHERS as CHEAP

# The users of the tests have a cheap hash; an unknown name costs one of the first kind.
PASSWORD_HASHERS = OWN + CHEAP
if os.environ.get("UNLIMITED_SIGN_INS"):
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher", *CHEAP]
    PASSWORD_CHECKS_AT_ONCE = PASSWORD_HASHES_AT_ONCE = 1000
