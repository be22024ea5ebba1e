"""The error pages of the debug mode show no secret."""

import json
import os
import re
import subprocess
import sys
from urllib.parse import quote

import pytest

from tests.cloud import ROOT

SECRETS = {
    name: f"canary<{name}>'7f3a"
    for name in (
        "IOTDA_AK", "IOTDA_SK", "IOTDA_SECURITY_TOKEN", "IOTDA_TOKEN", "IAM_PASSWORD", "SECRET_KEY",
        "SECRET_KEY_FALLBACKS", "AUDIT_KEY", "AUDIT_OLD_KEYS",
    )
} | {"METRICS_TOKEN": "canary-of-the-metrics-7f3a"}  # fmt: skip
URLS = {
    "DATABASE_URL": "postgres://desk:canary%3Cdb%3E7f3a@db.example.com/desk",
    "IOTDA_PROXY": "http://desk:canary-proxy-7f3a@proxy.example.com:3128",
    "CELERY_BROKER_URL": "amqp://desk:canary-broker-7f3a@broker.example.com",
}
FAIL = """
import django, os, sys, json
django.setup()
from django.conf import settings
from django.test import RequestFactory
from django.views.debug import technical_500_response
from iotda_admin.rate.connection import client

def view(request, sk, raw_password):
    headers = {"X-Auth-Token": "canary-7f3a", "Accept": "x"}
    iotda, all_settings = client(), [settings.IOTDA_SK, settings.DATABASES]
    other_url = "https://ann:canary-elsewhere-7f3a@example.com/"
    raise RuntimeError(f"no {settings.IOTDA_SK} {settings.IAM_PASSWORD!r} {other_url}")

pages = []
for accept in ("text/html", "text/plain"):
    # As runserver does, which hands the environment on.
    request = RequestFactory().post(
        "/x?token=", {"password": "canary-7f3a"}, headers={"accept": accept}, **os.environ
    )
    request.sensitive_post_parameters = "__ALL__"
    try:
        view(request, "canary-7f3a", "canary-7f3a")
    except RuntimeError:
        pages.append(technical_500_response(request, *sys.exc_info()).content.decode())
print(json.dumps(pages))
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The error pages of a view, as HTML and as text."""
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "DJANGO_SETTINGS_MODULE": "iotda_admin.settings",
        "DEBUG": "True",
        "HTTPS": "False",
        **SECRETS,
        **URLS,
    }
    command = [sys.executable, "-c", FAIL]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_an_error_page_of_the_debug_mode_shows_no_secret(pages: list[str]) -> None:
    for page in pages:
        assert re.findall(".{60}7f3a.{9}", page) == []
        assert "canary<" not in page
        assert quote(SECRETS["IOTDA_SK"], "") not in page


def test_an_error_page_still_helps(pages: list[str]) -> None:
    html, text = pages
    for page in pages:
        assert "RuntimeError" in page
        assert "IOTDA_REGION" in page
        assert "cn-north-4" in page
        assert "db.example.com" in page
    assert "other_url" in html
    assert "no ****" in text
