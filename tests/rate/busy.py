"""A process that only makes calls.

Run `python -m tests.rate.busy CALLS THREADS [SECONDS]`. It waits for a line on its
input before it starts, and prints its results as one JSON line.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django

django.setup()

from iotda_admin.iotda import PageQuery, Throttled  # noqa: E402 - after setup()
from iotda_admin.rate import store  # noqa: E402 - after setup()
from iotda_admin.rate.connection import client  # noqa: E402 - after setup()

WRITES = 0


def counted(ask: Any) -> Callable[..., Any]:
    def asking(sql: Any, *args: Any, **numbers: Any) -> Any:
        global WRITES
        WRITES += sql != store.PEEK
        return ask(sql, *args, **numbers)

    return asking


def call(_number: Any, until: Any) -> Any:
    if time.monotonic() > until:
        return None
    try:
        client().list_devices(PageQuery(limit=1))
    except Throttled as error:
        return error.status or "refused"
    return "ok"


def main(calls: Any, threads: Any, seconds: Any = 60.0) -> None:
    store._execute = counted(store._execute)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(call, range(calls), [started + seconds] * calls))
    took = time.monotonic() - started
    counts = {str(answer): answers.count(answer) for answer in set(answers) - {None}}
    print(
        json.dumps({"seconds": took, "writes": WRITES, "answers": counts}), flush=True
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
