"""The short forms, as the suite runs them: the commands themselves, with little to do."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.cloud import ROOT


def chaos(*words: str) -> dict[str, Any]:
    """What the command found. It passed only if nothing contradicts the journal and the control failed."""
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
        command, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
