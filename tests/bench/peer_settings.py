"""The product's settings, with Django's admin as a peer."""

from iotda_admin.settings import *  # noqa: F403 - a settings module

ROOT_URLCONF = "tests.bench.page_urls"
