"""The whole: a world, its journal, the faults to come; built anew on demand."""

import gc
from collections.abc import Mapping
from typing import Any

from .config import Config
from .demo_data import build_world
from .faults import Faults
from .journal import Journal
from .landmarks import landmarks
from .settings import Settings


class Simulator:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.journal = Journal()
        self.tokens: dict[str, tuple[float, str]] = {}
        self.reset()
        gc.freeze()  # the demo's devices stay: the collector need not look at them again

    def reset(
        self,
        devices: int | None = None,
        seed: int | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        config = self.config
        chosen = Settings.model_validate(self._at_start() | dict(settings or {}))
        self.journal.clear()
        self.faults = Faults()
        # A call still on its way keeps the old world, and changes only that.
        self.world = build_world(
            config,
            chosen,
            self.journal,
            config.seed if seed is None else seed,
            config.devices if devices is None else devices,
        )
        self.world.landmarks = landmarks(self.world)
        self.world.tokens = (
            self.tokens
        )  # a client's token outlives a reset, so tests need not log in anew

    def _at_start(self) -> dict[str, Any]:
        config = self.config
        return {
            "rate": config.rate,
            "burst": config.burst,
            "latency_ms": config.latency_ms,
        }

    def change(self, settings: Mapping[str, Any]) -> None:
        self.world.settings = Settings.model_validate(
            self.world.settings.model_dump() | dict(settings)
        )
