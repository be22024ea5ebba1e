from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from iotda_admin.iotda import Client, PasswordToken, StaticToken
from tests.contract.process import SimulatorProcess

from .wire import Wire

PROJECT = "5c0ffee05c0ffee05c0ffee05c0ffee0"
HASTE = 1.0


@pytest.fixture
def wire() -> Iterator[Wire]:
    server = Wire()
    yield server
    server.close()


@pytest.fixture
def client_for() -> Iterator[Callable[..., Client]]:
    """Return a function that creates clients; close them at the end."""
    clients = []

    def make(url: str, auth: Any = None, **more: Any) -> Client:
        options: dict[str, Any] = {
            "project_id": PROJECT,
            "deadline": 5,
            "connect_timeout": 5,
            "pool_size": 4,
        } | more
        clients.append(Client(endpoint=url, auth=auth or StaticToken("tok"), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(wire: Wire, client_for: Callable[..., Any]) -> Any:
    return client_for(wire.url)


@pytest.fixture
def hasty(wire: Wire, client_for: Callable[..., Any]) -> Any:
    """A client with a short deadline, for calls that only the deadline ends.

    A loaded machine would miss it on calls that get a response.
    """
    return client_for(wire.url, deadline=HASTE)


class Sim:
    """The simulator's control port."""

    def __init__(self, api: Any, control: Any) -> None:
        self.api, self.control = api, control

    def _ask(self, method: Any, path: Any, **options: Any) -> Any:
        answer = requests.request(
            method, f"{self.control}/_sim{path}", timeout=10, **options
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def reset(self, devices: Any) -> None:
        self._ask("POST", "/reset", json={"devices": devices})
        self.known = self._ask("GET", "/known-ids")

    def fault(self, operation: Any, fault: Any, **args: Any) -> None:
        """Add a fault that acts on one request."""
        match = {"operation": operation, "times": 1}
        self._ask(
            "POST", "/faults", json={"match": match, "fault": fault, "args": args}
        )

    def journal(self) -> Any:
        return self._ask("GET", "/journal")["entries"]

    def change(self, **settings: Any) -> None:
        self._ask("PATCH", "/settings", json=settings)


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[SimulatorProcess]:
    process = SimulatorProcess()
    yield process
    process.close()


@pytest.fixture
def sim(simulator_process: SimulatorProcess) -> Iterator[Sim]:
    sim = Sim(simulator_process.api, simulator_process.control)
    sim.reset(devices=1200)
    yield sim
    simulator_process.require_no_errors()


@pytest.fixture
def password_token(sim: Sim) -> PasswordToken:
    return PasswordToken(
        iam_endpoint=sim.api,
        user="demo-user",
        password="demo-password",
        domain="demo-domain",
        project_id=PROJECT,
    )
