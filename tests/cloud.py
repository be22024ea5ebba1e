"""The simulator as the tests use it: another process, reached over HTTP only."""

from collections.abc import Sequence
from typing import Any

import requests

from tests.contract.process import CHECKED, SimulatorProcess
from tests.contract.process import ROOT as ROOT


class Cloud:
    """The simulator and its control port. Tests check its state and its journal."""

    def __init__(self, module: str = CHECKED) -> None:
        self.process = SimulatorProcess(module, DEMO_DEVICES="60")
        self.api, self.control = self.process.api, self.process.control
        self.http = requests.Session()
        self.http.trust_env = False

    def close(self) -> None:
        self.http.close()
        self.process.close()

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        response = self.http.request(
            method, f"{self.control}/_sim/{path}", **{"timeout": 10, **kwargs}
        )
        response.raise_for_status()
        return response.json() if response.content else None

    def reset(self, devices: int = 60, **settings: Any) -> None:
        about = {"devices": devices, "settings": settings}
        # Very many devices take long on a loaded machine.
        self.call("POST", "reset", json=about, timeout=10 + devices / 1000)
        self.known_ids: dict[str, Any] = self.call("GET", "known-ids")

    def switch(self, **settings: Any) -> None:
        self.call("PATCH", "settings", json=settings)

    def fault(
        self,
        operation: str | Sequence[str] | None,
        fault: str,
        *,
        match: dict[str, Any] | None = None,
        **args: Any,
    ) -> None:
        self.call(
            "POST",
            "faults",
            json={
                "match": {"operation": operation, **(match or {})},
                "fault": fault,
                "args": args,
            },
        )

    def heal(self) -> None:
        self.call("DELETE", "faults")

    def journal(self, operation: str = "") -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.call(
            "GET", "journal", params={"operation": operation}
        )["entries"]
        return entries

    def status(self, device_id: str) -> str:
        return str(self.call("GET", f"devices/{device_id}")["status"])

    def bound(self, policy_id: str, target_type: str = "device") -> set[str]:
        params = {"policy_id": policy_id, "target_type": target_type}
        rows = self.call("GET", "bindings", params=params)["bindings"]
        return {row["target_id"] for row in rows}

    def free(self, n: int) -> Sequence[str]:
        """Return IDs of devices without policies of their own."""
        return list(self.known_ids["free"][:n])
