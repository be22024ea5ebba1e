"""bin/demo keeps to itself."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
DEMO = (ROOT / "bin" / "demo").read_text()
# What a deployment may have set that would lead the demo to a real platform, database or host.
REAL = [
    "DATA_DIR", "DATABASE_URL", "DATABASE_URL_FILE", "SECRET_KEY", "SECRET_KEY_FILE", "HTTPS", "DEBUG",
    "BEHIND_PROXY", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS",
    "IOTDA_ENDPOINT", "IOTDA_AUTH", "IOTDA_SIGNATURE", "IOTDA_PROJECT_ID", "IOTDA_REGION", "IOTDA_AK",
    "IOTDA_SK", "IOTDA_AK_FILE", "IOTDA_SK_FILE", "IOTDA_INSTANCE_ID", "IOTDA_PROXY", "IOTDA_CA_BUNDLE",
    "IOTDA_SECURITY_TOKEN", "IOTDA_SECURITY_TOKEN_FILE",
]  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_it_sets_whatever_could_lead_it_elsewhere(name: str) -> None:
    assert re.search(rf"^export .*\b{name}=", DEMO, re.M)


@pytest.mark.parametrize(
    ("ports", "sentence"),
    [
        ({"PORT": "abc"}, "PORT=abc cannot be used"),
        (
            {"PORT": "9871", "SIMULATOR_PORT": "9871"},
            "SIMULATOR_PORT=9871 cannot be used",
        ),
        (
            {"PORT": "9872", "SIMULATOR_PORT": "9871"},
            "SIMULATOR_PORT + 1=9872 cannot be used",
        ),
        ({"PORT": "9872", "SIMULATOR_PORT": "x"}, "SIMULATOR_PORT=x cannot be used"),
    ],
)
def test_it_says_which_port_it_cannot_have(
    ports: dict[str, Any], sentence: str
) -> None:
    demo = ROOT / "bin" / "demo"
    done = subprocess.run(
        [demo], env=os.environ | ports, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert sentence in done.stderr
