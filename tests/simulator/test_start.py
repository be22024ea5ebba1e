import json
import signal
import socket
from typing import Any

import pytest
import requests

from iotda_admin.simulator.config import SettingError, read_config
from tests.operations.deployment import PATIENCE, until
from tests.simulator.conftest import Sim

from .conftest import start_simulator


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_the_simulator_prints_its_addresses_and_stops_cleanly(sent: Any) -> None:
    process = start_simulator("--devices", "3")
    where = json.loads(process.stdout.readline())
    health = requests.get(where["control"] + "/_sim/health", timeout=PATIENCE).json()
    assert health == {"status": "ok", "devices": 3}
    process.send_signal(sent)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "", "")


def test_the_simulator_stops_while_a_request_hangs() -> None:
    process = start_simulator()
    where = json.loads(process.stdout.readline())
    requests.post(
        where["control"] + "/_sim/faults", json={"fault": "hang"}, timeout=PATIENCE
    )
    with socket.create_connection(
        ("127.0.0.1", int(where["api"].rpartition(":")[2]))
    ) as waiting:
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        until(
            lambda: requests.get(
                where["control"] + "/_sim/journal", timeout=PATIENCE
            ).json()["entries"]
        )
        process.terminate()
        assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 0


def test_an_invalid_setting_stops_the_start_with_one_sentence() -> None:
    process = start_simulator(DEMO_DEVICES="many")
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "DEMO_DEVICES" in err


def test_a_used_port_stops_the_start(sim: Sim) -> None:
    process = start_simulator(SIMULATOR_PORT=sim.api.rpartition(":")[2])
    assert "SIMULATOR_PORT" in process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIMULATOR_PORT", "65536"),
        ("SIMULATOR_CONTROL_PORT", "-1"),
        ("DEMO_DEVICES", "1e3"),
        ("SIMULATOR_RATE", "fast"),
        ("SIMULATOR_LATENCY_MS", "nan"),
        ("SIMULATOR_PROJECT_ID", "short"),
    ],
)
def test_the_error_names_the_setting(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        read_config({name: value}, [])


def test_a_project_id_may_have_upper_case_digits() -> None:
    project_id = "5C0FFEE0" * 4
    assert (
        read_config({"SIMULATOR_PROJECT_ID": project_id}, []).project_id == project_id
    )


@pytest.mark.parametrize(("port", "control"), [("", 8101), ("9000", 9001), ("0", 0)])
def test_the_control_port_is_next_to_the_api_port(port: str, control: int) -> None:
    assert read_config({"SIMULATOR_PORT": port}, []).control_port == control


def test_flags_override_the_environment() -> None:
    assert read_config({"SIMULATOR_RATE": "1"}, ["--rate", "2.5"]).rate == 2.5


def test_the_config_hides_credentials_in_its_repr() -> None:
    assert "DEMOSK" not in repr(read_config({}, []))
