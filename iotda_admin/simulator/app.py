"""The simulator: its state, its journal and its faults, rebuilt by a reset."""

import gc
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .config import Config
from .demo.data import create_state
from .demo.known_ids import known_ids
from .faults.schedule import Faults
from .schema import parse
from .settings import Settings
from .state.journal import Journal


class Simulator:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.journal = Journal()
        self.tokens: dict[str, tuple[float, str]] = {}
        self.reset()
        gc.freeze()  # the collector need not visit the demo's devices again

    def reset(
        self,
        devices: int | None = None,
        seed: int | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        config = self.config
        initial = {
            "rate": config.rate,
            "burst": config.burst,
            "latency_ms": config.latency_ms,
        }
        new_settings = parse(Settings, initial | dict(settings or {}))
        self.journal.clear()
        self.faults = Faults()
        # A request in progress keeps the old state and changes only that one.
        self.state = create_state(
            config,
            new_settings,
            self.journal,
            seed=config.seed if seed is None else seed,
            devices=config.devices if devices is None else devices,
        )
        self.known_ids = known_ids(self.state)
        self.state.tokens = (
            self.tokens
        )  # tokens survive a reset, so tests need not log in again

    def change_settings(self, changes: Mapping[str, Any]) -> Settings:
        self.state.settings = parse(
            Settings, asdict(self.state.settings) | dict(changes)
        )
        return self.state.settings
