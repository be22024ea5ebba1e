"""What gunicorn does with our settings, before the product sees a request."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from iotda_admin.core import gunicorn_worker
from iotda_admin.core.gunicorn_worker import HEAD_SECONDS, BoundedReader
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


def test_slow_clients_hold_no_thread(deployment: Deployment) -> None:
    """Twelve clients send the head of a request byte by byte; there are four threads."""
    base = deployment.start_web()
    host, port = urlsplit(base).hostname, urlsplit(base).port
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((host, port)))
            for _ in range(12)
        ]
        for byte in b"GET / HTTP/1.1":
            for client in slow:
                client.sendall(bytes([byte]))
        began = time.monotonic()
        for _ in range(3):
            assert status(f"{base}/healthz", {}) == 200
        assert time.monotonic() - began < HEAD_SECONDS
        # They are not waited for longer.
        for client in slow:
            client.settimeout(2 * HEAD_SECONDS)
            assert client.recv(1000) == b""


def test_a_connection_is_kept_for_several_requests_in_pieces(
    deployment: Deployment,
) -> None:
    base = deployment.start_web()
    address = (urlsplit(base).hostname, urlsplit(base).port)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(address, timeout=10) as client:
        for middle in (0, 5, len(request) - 2):
            for part in filter(None, (request[:middle], request[middle:])):
                client.sendall(part)
                time.sleep(0.1)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, BoundedReader]]:
    """A client, and what reads its request."""
    client, server = socket.socketpair()
    with client, server:
        yield client, BoundedReader(server)


def test_a_body_has_to_arrive_fast_enough(
    ends: tuple[socket.socket, BoundedReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, reader = ends
    monkeypatch.setattr(gunicorn_worker, "BODY_SECONDS", 0.3)
    reader.begin()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        drip(client, reader)
    assert time.monotonic() - began < 5
    # What has arrived extends the time.
    reader.begin()
    client.sendall(b"x" * 60_000)
    assert len(reader.recv(60_000)) == 60_000
    assert reader.until > time.monotonic() + 3
    assert reader.gettimeout() is None


def drip(client: socket.socket, reader: BoundedReader) -> None:
    for _ in range(100):
        client.sendall(b"x")
        reader.recv(100)
        time.sleep(0.05)
