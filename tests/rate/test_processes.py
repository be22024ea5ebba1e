"""Several processes share one limit."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from iotda_admin.rate import store
from iotda_admin.rate.limits import RateLimit
from tests.cloud import ROOT, Cloud
from tests.own_database import database_url


@pytest.fixture
def busy(cloud: Cloud, paced: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs calling processes and returns their reports."""
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": database_url(),
        "IOTDA_ENDPOINT": cloud.api,
        "IOTDA_RATE": "50",
        "IOTDA_BURST": "20",
        "IOTDA_DEADLINE": "20",
    }

    def run(processes: Any, calls: Any, threads: Any) -> list[Any]:
        command = [sys.executable, "-m", "tests.rate.busy", str(calls), str(threads)]
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "text": True,
            "cwd": ROOT,
        }
        started = [
            subprocess.Popen(command, env=env, **pipes) for _ in range(processes)
        ]
        for process in started:
            process.stdout.readline()
        for process in started:
            process.stdin.write("\n")
            process.stdin.flush()
        return [json.loads(process.communicate(timeout=60)[0]) for process in started]

    return run


def test_two_processes_share_one_rate(cloud: Cloud, busy: Callable[..., Any]) -> None:
    cloud.switch(rate=50, burst=20)
    first, second = busy(processes=2, calls=40, threads=4)
    assert first["answers"].get("ok", 0) + second["answers"].get("ok", 0) >= 0.98 * 80


def test_a_pause_applies_to_other_processes(
    cloud: Cloud, busy: Callable[..., Any]
) -> None:
    store.pause_slots(RateLimit(50, 20), 30)
    (report,) = busy(processes=1, calls=3, threads=1)
    assert report["answers"] == {"refused": 3}
    assert cloud.journal("ListDevices") == []
