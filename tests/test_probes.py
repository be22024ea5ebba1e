"""Kubernetes and Prometheus call machines by address, without TLS and sessions."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

from tests.cloud import Cloud
from tests.operations.deployment import Deployment, answers, until

TOKEN = "canary-metrics-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
POD = {"Host": "10.1.2.3:8000"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_is_answered_by_address_and_without_tls(
    anonymous: Client, settings: Settings, path: str
) -> None:
    settings.METRICS_TOKEN, settings.SECURE_SSL_REDIRECT = TOKEN, True
    answer = anonymous.get(path, headers=POD | BEARER)
    assert answer.status_code in {200, 503 if path == "/readyz" else 200}
    assert answer.headers["Cache-Control"] == "no-store"
    # Other pages still redirect, and refuse an unknown host.
    assert anonymous.get("/devices/").status_code == 301
    assert anonymous.get("/devices/", secure=True, headers=POD).status_code == 400


def test_health_with_a_cookie_needs_no_database(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", fail)
    operator.raise_request_exception = False
    assert operator.get("/healthz").status_code == 200
    assert operator.get("/devices/").status_code == 503


@pytest.fixture
def deployment(tmp_path: Path, cloud_process: Cloud) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, cloud_process)
    deployment.env["METRICS_TOKEN"] = TOKEN
    yield deployment
    deployment.kill()


def test_a_worker_has_metrics(deployment: Deployment, unused_port: int) -> None:
    deployment.start("manage.py", "worker", "--metrics-port", str(unused_port))
    base = f"http://127.0.0.1:{unused_port}"
    until(lambda: answers(f"{base}/healthz"))
    assert requests.get(f"{base}/metrics", timeout=5).status_code == 401
    text = requests.get(f"{base}/metrics", headers=BEARER, timeout=5).text
    assert "iotda_admin_iotda_throttled_total" in text
    # The port answers nothing else.
    assert requests.get(f"{base}/accounts/login/", timeout=5).status_code == 404


def test_a_worker_needs_the_token_to_have_metrics() -> None:
    with pytest.raises(CommandError, match="needs METRICS_TOKEN"):
        call_command("worker", metrics_port=9100)


def test_a_port_that_is_taken_is_named(settings: Settings, unused_port: int) -> None:
    settings.METRICS_TOKEN = TOKEN
    with (
        socket.create_server(("", unused_port)),
        pytest.raises(
            CommandError, match=rf"--metrics-port {unused_port} cannot be used"
        ),
    ):
        call_command("worker", metrics_port=unused_port)


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
