"""What gunicorn does with our settings, before the product sees a request."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.cloud import Cloud
from tests.operations.deployment import Deployment

HTTPS = {"X-Forwarded-Proto": "https"}
PREFIX = {"SCRIPT_NAME": "/forged"}


@pytest.fixture
def deployment(tmp_path: Path, cloud_process: Cloud) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, cloud_process)
    # The tests' own settings are without HTTPS.
    deployment.env |= {
        "DJANGO_SETTINGS_MODULE": "iotda_admin.settings",
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "",
        "HTTPS": "True",
    }
    yield deployment
    deployment.kill()


def status(url: str, headers: dict[str, str]) -> int:
    return requests.get(
        url, headers=headers, timeout=10, allow_redirects=False
    ).status_code


def test_headers_of_a_proxy_count_only_behind_a_proxy(deployment: Deployment) -> None:
    base = deployment.start_web()
    assert status(f"{base}/devices/", HTTPS) == 301
    assert status(f"{base}/forged/healthz", PREFIX) != 200
    deployment.kill()
    deployment.env["BEHIND_PROXY"] = "True"
    base = deployment.start_web()
    # The login page is at https.
    assert status(f"{base}/devices/", HTTPS) == 302
    assert status(f"{base}/devices/", {}) == 301
