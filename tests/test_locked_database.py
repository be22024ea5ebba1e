"""Commands wait for a locked SQLite database, and say so if they waited in vain."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.cloud import ROOT, Cloud
from tests.operations.deployment import Deployment, until

COMMANDS = [
    ("unlock_login", "ann"), ("migrate",),
    ("createsuperuser", "--noinput", "--username=ann", "--email=ann@example.com"),
]  # fmt: skip


@pytest.fixture
def deployment(tmp_path: Path, cloud_process: Cloud) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, cloud_process)
    deployment.shell(
        "from django.core.management import call_command; call_command('migrate', verbosity=0)"
    )
    deployment.env["TEST_LOCK_SECONDS"] = "2"
    yield deployment
    deployment.kill()


@contextmanager
def locked(deployment: Deployment) -> Iterator[None]:
    path = deployment.folder / "iotda-admin.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def run(deployment: Deployment, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT, env=deployment.env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_commands_and_the_worker_survive_a_locked_database(
    deployment: Deployment,
) -> None:
    with locked(deployment):
        # Reading needs no lock.
        assert run(deployment, "check", "--database", "default").returncode == 0
        worker = deployment.start("manage.py", "worker")
        for words in COMMANDS:
            done = run(deployment, *words)
            assert done.returncode == 1, words
            assert "another process writes to it" in done.stderr, words
            assert "Traceback" not in done.stderr, words
        assert worker.poll() is None
    assert run(deployment, "migrate", "--verbosity=0").returncode == 0
    until(lambda: deployment.rows("SELECT pid FROM health_worker"))


def test_a_traceback_is_shown_on_request(deployment: Deployment) -> None:
    with locked(deployment):
        done = run(deployment, "unlock_login", "ann", "--traceback")
    assert "Traceback" in done.stderr
