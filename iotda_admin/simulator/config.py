"""Settings fixed at the start: read from the environment, overridden by flags."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"


class SettingError(Exception):
    """A setting that prevents the start; the text names it."""


@dataclass(frozen=True, repr=False)  # no repr: it holds credentials
class Config:
    port: int = 8100
    control_port: int = 8101
    devices: int = 5000
    seed: int = 1
    project_id: str = "5c0ffee05c0ffee05c0ffee05c0ffee0"
    region: str = "cn-north-4"
    ak: str = "DEMOAK"
    sk: str = "DEMOSK"
    user: str = "demo-user"
    password: str = "demo-password"  # noqa: S105 - valid here only
    domain: str = "demo-domain"
    rate: float = 0
    burst: float = 0
    latency_ms: float = 0


ENVIRONMENT = {
    "port": "SIMULATOR_PORT",
    "control_port": "SIMULATOR_CONTROL_PORT",
    "devices": "DEMO_DEVICES",
    "seed": "SIMULATOR_SEED",
    "project_id": "SIMULATOR_PROJECT_ID",
    "region": "SIMULATOR_REGION",
    "ak": "SIMULATOR_AK",
    "sk": "SIMULATOR_SK",
    "user": "SIMULATOR_USER",
    "password": "SIMULATOR_PASSWORD",
    "domain": "SIMULATOR_DOMAIN",
    "rate": "SIMULATOR_RATE",
    "burst": "SIMULATOR_BURST",
    "latency_ms": "SIMULATOR_LATENCY_MS",
}
WHOLE = {"port": 65535, "control_port": 65535, "devices": 1_000_000, "seed": 2**63}
NUMBER = {"rate": 1e6, "burst": 1e6, "latency_ms": 60_000}
FLAGS = ("port", "control_port", "devices", "seed", "rate", "burst", "latency_ms")


def read_config(environ: Mapping[str, str], arguments: Sequence[str]) -> Config:
    given = {
        field: environ[name] for field, name in ENVIRONMENT.items() if environ.get(name)
    }
    given |= {
        field: text
        for field, text in vars(_parser().parse_args(arguments)).items()
        if text is not None
    }
    values: dict[str, Any] = {
        field: _value(field, text) for field, text in given.items()
    }
    if "control_port" not in values:
        port = int(values.get("port", Config.port))
        values["control_port"] = port + 1 if port else 0
    return Config(**values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m iotda_admin.simulator",
        description="A simulated IoTDA for demos and tests.",
    )
    for field in FLAGS:
        parser.add_argument(
            "--" + field.replace("_", "-"), help=f"overrides {ENVIRONMENT[field]}"
        )
    return parser


def _value(field: str, text: str) -> int | float | str:
    name = ENVIRONMENT[field]
    if field in WHOLE:
        if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > WHOLE[field]:
            raise SettingError(
                f"{name} must be a whole number from 0 to {WHOLE[field]}, not {text!r}."
            )
        return int(text)
    if field in NUMBER:
        if (
            not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text)
            or float(text) > NUMBER[field]
        ):
            raise SettingError(
                f"{name} must be a number from 0 to {NUMBER[field]:.0f}, not {text!r}."
            )
        return float(text)
    if field == "project_id" and not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise SettingError(
            f"{name} must be 32 digits or letters from a to f, not {text!r}."
        )
    return text
