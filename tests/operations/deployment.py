"""The product as deployed: web server and worker processes with their own database."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import requests
from django.db import connection

from tests.cloud import ROOT, Cloud

PREPARE = """
from django.core.management import call_command
from tests.migrated import migrate
migrate()
call_command("demo_users")
call_command("sync")
"""
# Generous: a loaded machine may take long to start a process.
PATIENCE = 120


class Deployment:
    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.folder, self.cloud = folder, cloud
        self.processes: list[subprocess.Popen[bytes]] = []
        self.env = {
            name: value for name, value in os.environ.items() if name != "DATABASE_URL"
        } | {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_DATA_DIR": str(folder),
            "IOTDA_ENDPOINT": cloud.api,
            "DEMO_PASSWORD": "demo-password-1",
        }

    def prepare(self) -> None:
        self.shell(PREPARE)

    def shell(self, code: str, timeout: float = 60) -> list[Any]:
        """Runs code as a process of the product; gives what it printed, line by line from JSON."""
        code = "import django; django.setup()\n" + code
        command = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr
        return [
            json.loads(line) for line in done.stdout.splitlines() if line[:1] in "{["
        ]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        path = self.folder / "iotda-admin.sqlite3"
        with closing(sqlite3.connect(path, timeout=10)) as database:
            return database.execute(sql).fetchall()

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.env,
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def start_web(self, *more: str) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.start(
            "-m",
            "gunicorn",
            "iotda_admin.wsgi",
            "--bind",
            address,
            "--threads",
            "4",
            *more,
        )
        until(lambda: answers(f"http://{address}/healthz"))
        return f"http://{address}"

    def kill(self) -> None:
        """kill -9 of all that was started, with their children."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        self.processes.clear()


def until(holds: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def a_session_waits() -> bool:
    """Return whether a session of PostgreSQL waits for a lock of another one."""
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' limit 1"
    with connection.cursor() as cursor:
        cursor.execute(waiting)
        return cursor.fetchone() is not None


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


class Browser:
    """Logs in and sends forms over HTTP, as a browser without scripts does."""

    def __init__(self, base: str, name: str, password: str = "demo-password-1") -> None:
        self.base, self.http = base, requests.Session()
        self.http.trust_env = False
        form = self.form("/accounts/login/") | {"username": name, "password": password}
        assert self.http.post(f"{base}/accounts/login/", form, timeout=PATIENCE).ok

    def form(self, path: str) -> dict[str, str]:
        """The hidden fields of the page's form."""
        page = self.http.get(self.base + path, timeout=PATIENCE).text
        return dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
        )

    def send(self, path: str, form: dict[str, str]) -> requests.Response:
        return self.http.post(self.base + path, form, timeout=PATIENCE)
