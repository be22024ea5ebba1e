"""What gunicorn does with our settings, before the product sees a request."""

import errno
import os
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from iotda_admin.core import gunicorn_worker
from iotda_admin.core.gunicorn_worker import (
    HEAD_SECONDS,
    WAITING_FOR_EACH,
    BoundedReader,
    BufferingWorker,
    body_to_await,
)
from tests.cloud import Cloud
from tests.held_site import GATE
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


def test_the_processes_share_what_was_loaded_before_them(
    deployment: Deployment,
) -> None:
    """And nothing that a fork would break: neither threads nor connections."""
    # In PostgreSQL's case the start asks a database without our tables.
    deployment.env["DATABASE_URL"] = os.environ.get("DATABASE_URL", "")
    deployment.start_web("--workers", "2")
    parent = Path(f"/proc/{deployment.processes[-1].pid}")
    assert len(list((parent / "task").iterdir())) == 1
    opened = [os.readlink(file) for file in (parent / "fd").iterdir()]
    sockets = [file for file in opened if file.startswith("socket:")]
    assert len(sockets) == 1, "the one that listens"
    assert [file for file in opened if "sqlite3" in file] == []
    for child in (parent / "task" / parent.name / "children").read_text().split():
        rollup = Path(f"/proc/{child}/smaps_rollup").read_text()
        found = re.search(r"^Shared_Dirty:\s+(\d+) kB", rollup, re.M)
        assert found
        assert int(found[1]) > 20_000


POST_HEAD = (
    b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
)


@pytest.mark.parametrize("begun", [b"", POST_HEAD])
def test_slow_clients_hold_no_thread(deployment: Deployment, begun: bytes) -> None:
    """Twelve clients send a head or a body byte by byte; there are four threads."""
    base = deployment.start_web()
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(base)) for _ in range(12)]
        for client in slow:
            client.sendall(begun)
        for byte in b"GET / HT":
            for client in slow:
                client.sendall(bytes([byte]))
        began = time.monotonic()
        for path in ("/healthz", "/accounts/login/", "/healthz"):
            assert status(f"{base}{path}", HTTPS) in (200, 301)
        assert time.monotonic() - began < HEAD_SECONDS
        # They are not waited for longer.
        for client in slow:
            client.settimeout(2 * HEAD_SECONDS)
            assert client.recv(1000) == b""


def test_clients_that_do_not_close_hold_up_nobody(deployment: Deployment) -> None:
    base = deployment.start_web()
    with ExitStack() as stack:
        lazy = [stack.enter_context(connected(base)) for _ in range(12)]
        for client in lazy:
            client.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.0 200")
        began = time.monotonic()
        assert status(f"{base}/healthz", {}) == 200
        assert time.monotonic() - began < HEAD_SECONDS
        for client in lazy:
            client.settimeout(2 * HEAD_SECONDS)
            while client.recv(4096):
                pass


def test_a_client_may_ask_before_it_sends_the_body(deployment: Deployment) -> None:
    with connected(deployment.start_web()) as client:
        client.sendall(
            b"POST /nothing/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 100000",
        b"Content-Length: 0000009",
        b"Content-Length: 9\r\nExpect: 100-continue",
        b"Transfer-Encoding: chunked",
    ],
)
def test_a_limited_view_takes_no_long_body(deployment: Deployment, body: bytes) -> None:
    """A thread would wait for it, and few threads serve such a view."""
    with connected(deployment.start_web()) as client:
        client.sendall(
            b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\n"
            + body
            + b"\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        (POST_HEAD, 9),
        (b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 0),
        (b"POST / HTTP/1.1\r\ncontent-length:  7 \r\n\r\n", 7),
        (b"POST / HTTP/1.1\r\nContent-Length: 65536\r\n\r\n", None),
        (b"POST / HTTP/1.1\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", None),
        (b"POST / HTTP/1.1\r\nContent-Length: +7\r\n\r\n", None),
    ],
)
def test_a_short_body_is_awaited(head: bytes, length: int | None) -> None:
    assert body_to_await(head) == length


def test_a_worker_outlives_a_system_without_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full:
        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

    switched = list[bool]()
    worker = object.__new__(BufferingWorker)
    monkeypatch.setattr(worker, "set_accept_enabled", switched.append, raising=False)
    worker.accept(Full())  # type: ignore[arg-type]
    assert switched == [False]


def test_a_limited_view_leaves_threads_and_connections_free(
    deployment: Deployment, tmp_path: Path
) -> None:
    """One of four threads serves it, 16 requests wait, one more is refused."""
    os.mkfifo(tmp_path / GATE)
    deployment.env |= {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TEST_ROOT_URLCONF": "tests.held_site",
    }
    base = deployment.start_web()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(connected(base)) for _ in range(WAITING_FOR_EACH + 2)
        ]
        for client in clients:
            client.sendall(b"GET /held/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        refused = first_answer(clients)
        assert b" 503 " in refused
        assert b"Nothing was changed." in refused
        assert status(f"{base}/healthz", {}) == 200
        while clients:
            (tmp_path / GATE).open("wb").close()
            assert first_answer(clients).endswith(b"passed")


def first_answer(clients: list[socket.socket]) -> bytes:
    """Return the next answer, and take its client off the list."""
    ready, _, _ = select.select(clients, [], [], 60)
    clients.remove(ready[0])
    return whole_answer(ready[0])


def connected(base: str) -> socket.socket:
    address = urlsplit(base)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def test_a_connection_is_kept_for_several_requests_in_pieces(
    deployment: Deployment,
) -> None:
    base = deployment.start_web()
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(base) as client:
        for middle in (0, 5, len(request) - 2):
            for part in filter(None, (request[:middle], request[middle:])):
                client.sendall(part)
                time.sleep(0.1)
            assert whole_answer(client).startswith(b"HTTP/1.1 200")
        # Two and a half requests at once, after an empty line.
        client.sendall(b"\r\n" + 2 * request + request[:9])
        for _ in range(2):
            assert whole_answer(client).startswith(b"HTTP/1.1 200")
        client.sendall(request[9:])
        assert whole_answer(client).startswith(b"HTTP/1.1 200")


def whole_answer(client: socket.socket) -> bytes:
    """Read an answer, and nothing of the next one."""
    head = read_until(client, lambda data: data.endswith(b"\r\n\r\n"))
    if b"Transfer-Encoding: chunked" in head:
        return head + read_until(client, lambda data: data.endswith(b"0\r\n\r\n"))
    found = re.search(rb"content-length: (\d+)", head, re.I)
    assert found, head
    return head + read_until(client, lambda data: len(data) == int(found[1]))


def read_until(client: socket.socket, holds: Callable[[bytes], bool]) -> bytes:
    data = b""
    while not holds(data):
        piece = client.recv(1)
        assert piece, data
        data += piece
    return data


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
