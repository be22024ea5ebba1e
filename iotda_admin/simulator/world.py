"""Everything the stand-in knows, in memory, with the indexes that lists are read from."""

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from .bindings import Bindings
from .config import Config
from .errors import no_device, no_space
from .journal import Journal
from .records import RecordIds, Records
from .settings import Settings
from .things import Device, Policy, Product, Space, Target
from .throttle import Bucket

if TYPE_CHECKING:
    from .tasks import Task


class World:
    def __init__(
        self, config: Config, settings: Settings, journal: Journal, seed: int
    ) -> None:
        self.config, self.settings, self.journal, self.seed = (
            config,
            settings,
            journal,
            seed,
        )
        self.record_ids = RecordIds()
        self.spaces: dict[str, Space] = {}
        self.products: dict[str, Product] = {}
        self.product_records: Records[Product] = Records()
        self.devices: dict[str, Device] = {}
        self.device_records: Records[Device] = Records()
        self.by_space: defaultdict[str, Records[Device]] = defaultdict(Records)
        self.by_product: defaultdict[str, Records[Device]] = defaultdict(Records)
        self.by_gateway: defaultdict[str, Records[Device]] = defaultdict(Records)
        self.policies: dict[str, Policy] = {}
        self.policy_records: Records[Policy] = Records()
        self.bindings = Bindings(self.record_ids)
        self.tasks: dict[str, Task] = {}
        self.running: list[Task] = []
        self.tokens: dict[str, tuple[float, str]] = {}  # until when, for which project
        self.landmarks: dict[str, Any] = {}
        self.calls = Bucket()

    def now(self) -> float:
        return time.time() + self.settings.clock_skew_s

    def device(self, device_id: str) -> Device:
        try:
            return self.devices[device_id]
        except KeyError:
            raise no_device() from None

    def space(self, app_id: str) -> Space:
        try:
            return self.spaces[app_id]
        except KeyError:
            raise no_space() from None

    def default_space(self) -> Space:
        return next(space for space in self.spaces.values() if space.default_app)

    def add_device(self, device: Device) -> None:
        self.devices[device.device_id] = device
        for records in self._records_of(device):
            records.add(device)

    def remove_device(self, device: Device) -> None:
        del self.devices[device.device_id]
        for records in self._records_of(device):
            records.remove(device)
        self.bindings.forget_target(Target("device", device.device_id))

    def _records_of(self, device: Device) -> list[Records[Device]]:
        records = [
            self.device_records,
            self.by_space[device.product.space.app_id],
            self.by_product[device.product.product_id],
        ]
        return (
            records if device.direct else [*records, self.by_gateway[device.gateway_id]]
        )

    def add_policy(self, policy: Policy) -> None:
        self.policies[policy.policy_id] = policy
        self.policy_records.add(policy)

    def remove_policy(self, policy: Policy) -> list[Target]:
        del self.policies[policy.policy_id]
        self.policy_records.remove(policy)
        return self.bindings.forget_policy(policy.policy_id)

    def space_of(self, target: Target) -> Space | None:
        """None: there is no such target."""
        if target.type == "device":
            device = self.devices.get(target.id)
            return device.product.space if device else None
        if target.type == "product":
            product = self.products.get(target.id)
            return product.space if product else None
        return self.spaces.get(target.id)
