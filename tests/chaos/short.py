"""Run a bin/chaos command in its short form, as the test suite does."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.cloud import ROOT


def chaos(*words: str) -> dict[str, Any]:
    """Run a command that has to pass, and return its findings.

    It passes if no record contradicts the journal and its control fails.
    """
    server = os.environ.get("DATABASE_URL", "")
    database = "postgres" if server.startswith("postgres") else "sqlite"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.chaos",
        *words,
        "--database",
        database,
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
