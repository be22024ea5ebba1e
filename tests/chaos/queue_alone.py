"""The control of rq: the queue without what looks after our own rows."""

from tests.settings import *  # noqa: F403

WORKER_JOBS: dict[str, float] = {}
