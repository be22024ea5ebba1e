"""The product's settings, and other URLs if a comparison needs them."""

import os

from iotda_admin.settings import *  # noqa: F403 - a settings module
from iotda_admin.settings import ROOT_URLCONF

ROOT_URLCONF = os.environ.get("TEST_ROOT_URLCONF", ROOT_URLCONF)
