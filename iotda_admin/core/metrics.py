"""What a process counts. With METRICS_TOKEN set, in files that all processes of this machine sum up.

A file belongs to a number, not to a process: whoever starts takes the lowest one that is free and counts on
where the last one stopped. So there are never more files than processes at a time, and no count ever falls.
"""

import fcntl
import os
from pathlib import Path
from typing import IO

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = Path(settings.DATA_DIR) / "metrics"
KINDS = ("counter", "histogram")
# All that is counted fits. It is reserved at the start: a full disk must not end a process that counts.
FILE_BYTES = 1 << 20
METHODS = {"GET", "HEAD", "POST"}

_held: dict[int, tuple[str, IO[bytes]]] = {}


def number() -> str:
    """This process's own, for as long as it lives; a forked child takes another."""
    if os.getpid() not in _held:
        _held[os.getpid()] = next(filter(None, map(taken, range(10_000))))
    return _held[os.getpid()][0]


def taken(candidate: int) -> tuple[str, IO[bytes]] | None:
    file = (FOLDER / f"{candidate}.lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    for kind in KINDS:
        reserve(FOLDER / f"{kind}_{candidate}.db")
    return str(candidate), file


def reserve(path: Path) -> None:
    """Room for it on the disk. What a crash has left unreadable goes."""
    try:
        if path.exists():
            list(MmapedDict.read_all_values_from_file(str(path)))  # type: ignore[no-untyped-call]
    except Exception:
        path.unlink()
    with path.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, FILE_BYTES)


def share() -> bool:
    """Count for all processes together, if anybody is to read it and there is room for it."""
    if not settings.METRICS_TOKEN:
        return False
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        number()
    except OSError:
        return False
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(FOLDER)
    values.ValueClass = values.MultiProcessValue(number)  # type: ignore[no-untyped-call]
    return True


SHARED = share()
OWN = CollectorRegistry()

REQUESTS = Counter(
    "iotda_admin_requests",
    "Answers by this product",
    ["route", "method", "status"],
    registry=OWN,
)
REQUEST_SECONDS = Histogram(
    "iotda_admin_request_seconds", "Time for an answer, without sending its body", ["route"], registry=OWN,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip
CALLS = Counter(
    "iotda_admin_iotda_calls", "Calls to IoTDA", ["operation", "status"], registry=OWN
)
CALL_SECONDS = Histogram(
    "iotda_admin_iotda_call_seconds", "Time for a call to IoTDA, with waiting for the rate", ["operation"],
    registry=OWN, buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)  # fmt: skip
RATE_SECONDS = Counter(
    "iotda_admin_rate_wait_seconds", "Time spent waiting for the rate", registry=OWN
)
RATE_REFUSED = Counter(
    "iotda_admin_rate_refused", "Calls that the rate let not go in time", registry=OWN
)
THROTTLED = Counter(
    "iotda_admin_iotda_throttled", "Times that IoTDA asked to slow down", registry=OWN
)


def registry() -> CollectorRegistry:
    """Of all processes, or of this one alone."""
    if not SHARED:
        return OWN
    everybody = CollectorRegistry()
    MultiProcessCollector(everybody, path=str(FOLDER))  # type: ignore[no-untyped-call]
    return everybody


def answered(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    match = request.resolver_match
    route = (match.view_name if match else "") or "none"
    method = request.method if request.method in METHODS else "other"
    REQUESTS.labels(route, method, response.status_code).inc()
    REQUEST_SECONDS.labels(route).observe(seconds)
