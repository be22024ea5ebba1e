"""The control of celery: without the jobs that check our own rows."""

from tests.settings import *  # noqa: F403 - a settings module

WORKER_JOBS = {}
