"""The simulator's own HTTP server, spoken to in bytes."""

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.simulator.conftest import Sim

GET = b"GET /_sim/health HTTP/1.1\r\nHost: sim\r\n"


@pytest.fixture
def connection(sim: Sim) -> Iterator[Any]:
    address = urlsplit(sim.control)
    with socket.create_connection((address.hostname, address.port), timeout=5) as one:
        yield one


def read_all(connection: Any) -> Any:
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_request_may_arrive_byte_by_byte(connection: Any) -> None:
    for byte in GET + b"Connection: close\r\n\r\n":
        connection.sendall(bytes([byte]))
    assert read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_connection_serves_several_requests_in_order(connection: Any) -> None:
    unknown = b"GET /_sim/unknown HTTP/1.1\r\n\r\n"
    connection.sendall(GET + b"\r\n" + unknown + GET + b"Connection: close\r\n\r\n")
    answers = read_all(connection).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"404", b"200"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        GET + b"Content-Length: many\r\n\r\n",
        GET + b"Content-Length: -1\r\n\r\n",
        GET + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_an_unreadable_request_is_refused_and_the_connection_closed(
    connection: Any, request_bytes: Any
) -> None:
    connection.sendall(request_bytes)
    assert connection.recv(65_536).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_an_unfinished_request_is_not_in_the_journal(sim: Sim) -> None:
    address = urlsplit(sim.api)
    with socket.create_connection((address.hostname, address.port)) as one:
        one.sendall(b"GET /v5/iot/x/devices HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")
    assert sim.journal() == []


def test_a_lone_surrogate_in_a_body_is_refused(sim: Sim) -> None:
    url = f"{sim.api}{sim.root}/device-policies/{sim.known.policy}/bind"
    body = b'{"target_type": "device", "target_ids": ["\\ud800"]}'
    answer = sim.session.post(url, data=body, headers={"X-Auth-Token": sim.token})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "IOTDA.000008")
