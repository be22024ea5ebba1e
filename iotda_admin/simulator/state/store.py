"""The state of the simulated platform, in memory, with the indexes for lists."""

import time
from collections import defaultdict

from ..config import Config
from ..settings import Settings
from .bindings import Bindings
from .journal import Journal
from .models import BatchTask, Device, NewDevice, Policy, Product, ResourceSpace, Target
from .records import RecordIds, RecordList
from .token_bucket import TokenBucket


class State:
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
        self.spaces: dict[str, ResourceSpace] = {}
        self.products: dict[str, Product] = {}
        self.product_list: RecordList[Product] = RecordList()
        self.devices: dict[str, Device] = {}
        self.device_list: RecordList[Device] = RecordList()
        self.devices_by_space: defaultdict[str, RecordList[Device]] = defaultdict(
            RecordList
        )
        self.devices_by_product: defaultdict[str, RecordList[Device]] = defaultdict(
            RecordList
        )
        self.children: defaultdict[str, RecordList[Device]] = defaultdict(RecordList)
        self.policies: dict[str, Policy] = {}
        self.policy_list: RecordList[Policy] = RecordList()
        self.bindings = Bindings(self.record_ids)
        self.tasks: dict[str, BatchTask] = {}
        self.running_tasks: list[BatchTask] = []
        self.tokens: dict[str, tuple[float, str]] = {}  # expiry and project
        self.bucket = TokenBucket()

    def now(self) -> float:
        return time.time() + self.settings.clock_skew_s

    def default_space(self) -> ResourceSpace:
        return next(space for space in self.spaces.values() if space.default_app)

    def add_product(self, product: Product) -> None:
        self.products[product.product_id] = product
        self.product_list.add(product)

    def add_device(self, device: Device) -> None:
        self.devices[device.device_id] = device
        for index in self._indexes(device):
            index.add(device)

    def register_device(self, new: NewDevice) -> Device:
        """Add a new device of a known product, as its owner would."""
        now = self.now()
        device_id = new.device_id or f"{new.product_id}_{new.node_id}"
        connected = None if new.status == "INACTIVE" else now
        device = Device(
            record_id=self.record_ids.next(now),
            device_id=device_id,
            node_id=new.node_id,
            gateway_id=new.gateway_id or device_id,
            device_name=new.device_name or new.node_id,
            node_type="ENDPOINT" if new.gateway_id else "GATEWAY",
            status=new.status,
            product=self.products[new.product_id],
            created=now,
            first_connected=connected,
            status_changed=connected,
        )
        self.add_device(device)
        return device

    def remove_device(self, device: Device) -> None:
        del self.devices[device.device_id]
        for index in self._indexes(device):
            index.remove(device)
        self.bindings.remove_target(Target("device", device.device_id))

    def _indexes(self, device: Device) -> list[RecordList[Device]]:
        product = device.product
        indexes = [
            self.device_list,
            self.devices_by_space[product.space.app_id],
            self.devices_by_product[product.product_id],
        ]
        return (
            indexes
            if device.directly_connected
            else [*indexes, self.children[device.gateway_id]]
        )

    def add_policy(self, policy: Policy) -> None:
        self.policies[policy.policy_id] = policy
        self.policy_list.add(policy)

    def remove_policy(self, policy: Policy) -> None:
        del self.policies[policy.policy_id]
        self.policy_list.remove(policy)
        self.bindings.remove_policy(policy.policy_id)

    def space_of(self, target: Target) -> ResourceSpace | None:
        """Return the resource space of a target; None if the target does not exist."""
        if target.type == "device":
            device = self.devices.get(target.id)
            return device.product.space if device else None
        if target.type == "product":
            product = self.products.get(target.id)
            return product.space if product else None
        return self.spaces.get(target.id)
