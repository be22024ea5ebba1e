"""One simulator process for all tests here; each test starts with a small new state."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from tests.contract.process import SimulatorProcess

LOGIN = {
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {
                "user": {
                    "name": "demo-user",
                    "password": "demo-password",
                    "domain": {"name": "demo-domain"},
                }
            },
        },
        "scope": {"project": {"name": "cn-north-4"}},
    }
}


class Sim:
    """A client of the API, logged in, and of the control port."""

    def __init__(self, api: Any, control: Any) -> None:
        self.api, self.control = api, control
        self.session = requests.Session()
        self.token = None

    def reset(self, devices: int = 60, **settings: Any) -> None:
        self._control("POST", "/reset", {"devices": devices, "settings": settings})
        self.known = SimpleNamespace(**self._control("GET", "/known-ids"))
        self.root = f"/v5/iot/{self.known.project_id}"
        if self.token is None:
            self.token = self.login().headers["X-Subject-Token"]
        self._control("DELETE", "/journal")

    def login_identity(self) -> Any:
        return LOGIN["auth"]["identity"]

    def login(self, **changes: Any) -> Any:
        return self.session.post(self.api + "/v3/auth/tokens", json=LOGIN | changes)

    def call(
        self,
        method: Any,
        path: Any,
        body: Any = None,
        *,
        headers: Any = None,
        timeout: int = 5,
    ) -> Any:
        headers = {"X-Auth-Token": self.token} if headers is None else headers
        url = self.api + (path if path.startswith("/v") else self.root + path)
        data = None if body is None else json.dumps(body)
        return self.session.request(
            method,
            url,
            data=data,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
        )

    def get(self, path: Any, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: Any, body: Any = None, **options: Any) -> Any:
        return self.call("POST", path, body, **options)

    def bind(
        self,
        *ids: Any,
        policy: Any = None,
        act: str = "bind",
        target_type: str = "device",
        **options: Any,
    ) -> Any:
        body = {"target_type": target_type, "target_ids": list(ids)}
        return self.post(
            f"/device-policies/{policy or self.known.policy}/{act}", body, **options
        )

    def status(self, device_id: Any) -> Any:
        return self.device(device_id)["status"]

    def device(self, device_id: Any) -> Any:
        return self._control("GET", f"/devices/{device_id}")

    def journal(self, **query: Any) -> Any:
        return self._control("GET", "/journal", query=query)["entries"]

    def fault(self, fault: Any, match: Any = None, **args: Any) -> Any:
        return self._control(
            "POST", "/faults", {"match": match or {}, "fault": fault, "args": args}
        )["id"]

    def patch(self, path: str = "/settings", /, **changes: Any) -> Any:
        return self._control("PATCH", path, changes)

    def _control(
        self, method: Any, path: Any, body: Any = None, query: Any = None
    ) -> Any:
        answer = self.session.request(
            method, f"{self.control}/_sim{path}", json=body, params=query
        )
        assert answer.ok, answer.text
        return answer.json() if answer.content else None


def start_simulator(*flags: str, **environ: str) -> subprocess.Popen[str]:
    ports = {"SIMULATOR_PORT": "0", "SIMULATOR_CONTROL_PORT": "0", "DEMO_DEVICES": "60"}
    command = [sys.executable, "-m", "iotda_admin.simulator", *flags]
    return subprocess.Popen(
        command,
        env=os.environ | ports | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[SimulatorProcess]:
    process = SimulatorProcess(DEMO_DEVICES="60")
    yield process
    process.close()


@pytest.fixture(scope="session")
def logged_in(simulator_process: SimulatorProcess) -> Sim:
    return Sim(simulator_process.api, simulator_process.control)


@pytest.fixture
def sim(simulator_process: SimulatorProcess, logged_in: Sim) -> Iterator[Sim]:
    logged_in.reset()
    yield logged_in
    simulator_process.require_no_errors()
