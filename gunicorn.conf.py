"""Settings that gunicorn reads when started in this folder; its options override them."""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from iotda_admin.core.gunicorn_worker import BufferingWorker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotda_admin.settings")

try:
    logconfig_dict = settings.LOGGING | {
        "loggers": {
            "gunicorn.error": {"level": settings.LOG_LEVEL.upper(), "propagate": True},
            # Our own access line says more, and leaves out the query.
            "gunicorn.access": {"handlers": [], "propagate": False},
        }
    }
except ImproperlyConfigured as error:
    sys.exit(f"IoTDA Admin cannot start: {error}")

if not settings.BEHIND_PROXY:
    # Otherwise gunicorn takes the scheme and the path of the site from headers of clients
    # on this machine or a UNIX socket.
    forwarded_allow_ips, forwarder_headers = "", ""
    secure_scheme_headers: dict[str, str] = {}

# A request line holds a query of filters, no more; the largest header is a cookie.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
# It waits for the head of a request without a thread, and bounds the time of the body.
worker_class = "iotda_admin.core.gunicorn_worker.BufferingWorker"
# A worker whose main loop hangs is restarted after this time. It ends no slow client.
timeout = 60
graceful_timeout = 30
# Nothing needs a socket to command the server.
control_socket_disable = True
# The processes share the memory of what is loaded before they are forked.
preload_app = True
# glibc's number for mallopt(): how many pools the threads of a process take memory from.
M_ARENA_MAX = -8

with suppress(AttributeError):  # another C library
    # Each would keep what it once needed, and one thread at a time runs Python anyway.
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def when_ready(_server: Any) -> None:
    """Exclude what is loaded from collection before the first process is forked.

    A collection writes to the memory of all objects, so that it is no longer shared. And
    a form with 100,000 IDs would spend a twentieth of its time on them.
    """
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """Fit the process to its threads."""
    # Its imports need the application, which gunicorn has loaded by now.
    from iotda_admin.rate.page_reads import fit_places

    fit_places(worker.cfg.threads)
    if not isinstance(worker, BufferingWorker):
        worker.log.warning(
            "Slow clients can stop the site: start gunicorn without --worker-class."
        )
