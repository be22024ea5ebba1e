"""Counters for Prometheus, shared by all processes of this machine with METRICS_TOKEN.

Each process counts in files of its own. Files belong to numbers: a process that starts
takes the lowest free number and continues its counts, so that there are never more
files than processes and no count falls.
"""

import fcntl
import os
from functools import cache
from itertools import count
from pathlib import Path
from typing import IO

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = Path(settings.DATA_DIR) / "metrics"
KINDS = ("counter", "histogram")
# Enough for all counters. Reserved at the start: a full disk must not end a process.
FILE_BYTES = 1 << 20
METHODS = {"GET", "HEAD", "POST"}


def process_number() -> str:
    """Return the number of this process; a forked child takes another."""
    return claim_number(os.getpid())[0]


@cache
def claim_number(pid: int) -> tuple[str, IO[bytes]]:
    """Lock the lowest free number for a process; the file holds it until the end."""
    for number in map(str, count()):
        file = (FOLDER / f"{number}.lock").open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            file.close()
    for kind in KINDS:
        reserve(FOLDER / f"{kind}_{number}.db")
    return number, file


def reserve(path: Path) -> None:
    """Reserve the space of the file. Delete one that a crash has made unreadable."""
    try:
        if path.exists():
            list(MmapedDict.read_all_values_from_file(str(path)))  # type: ignore[no-untyped-call]
    except Exception:
        path.unlink()
    with path.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, FILE_BYTES)


def share_files() -> bool:
    """Count in shared files, if METRICS_TOKEN is set and the disk allows it."""
    if not settings.METRICS_TOKEN:
        return False
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        process_number()
    except OSError:
        return False
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(FOLDER)
    values.ValueClass = values.MultiProcessValue(process_number)  # type: ignore[no-untyped-call]
    return True


SHARED = share_files()
OWN = CollectorRegistry()

REQUESTS = Counter(
    "iotda_admin_requests",
    "Responses of this product",
    ["route", "method", "status"],
    registry=OWN,
)
REQUEST_SECONDS = Histogram(
    "iotda_admin_request_seconds", "Time to a response, without sending its body", ["route"], registry=OWN,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip
CALLS = Counter(
    "iotda_admin_iotda_calls", "Calls to IoTDA", ["operation", "status"], registry=OWN
)
CALL_SECONDS = Histogram(
    "iotda_admin_iotda_call_seconds", "Time of a call to IoTDA, with waiting for the rate limit",
    ["operation"], registry=OWN, buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)  # fmt: skip
RATE_SECONDS = Counter(
    "iotda_admin_rate_wait_seconds",
    "Time spent waiting for the rate limit",
    registry=OWN,
)
RATE_REFUSED = Counter(
    "iotda_admin_rate_refused",
    "Calls not sent because the rate limit delayed them too long",
    registry=OWN,
)
THROTTLED = Counter(
    "iotda_admin_iotda_throttled", "Times that IoTDA throttled a call", registry=OWN
)
PUSHED = Counter(
    "iotda_admin_pushed",
    "Messages of IoTDA about devices, by what became of them",
    ["result"],
    registry=OWN,
)


def registry() -> CollectorRegistry:
    """Return the counts of all processes, or of this one if they are not shared."""
    if not SHARED:
        return OWN
    everyone = CollectorRegistry()
    MultiProcessCollector(everyone, path=str(FOLDER))  # type: ignore[no-untyped-call]
    return everyone


def count_request(
    request: HttpRequest, response: HttpResponseBase, seconds: float
) -> None:
    match = request.resolver_match
    route = (match.view_name if match else "") or "none"
    method = request.method if request.method in METHODS else "other"
    REQUESTS.labels(route, method, response.status_code).inc()
    REQUEST_SECONDS.labels(route).observe(seconds)
