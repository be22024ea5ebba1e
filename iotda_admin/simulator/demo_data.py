"""A world made from a seed. The first devices are the same however many there are."""

import random
from hashlib import sha256

from .config import Config
from .demo_names import (
    DEFAULT_POLICY,
    DESCRIPTIONS,
    FIRMWARE,
    KINDS,
    OWNERS,
    POLICIES,
    PUBLISH,
    SDK,
    SITES,
    SOFTWARE,
    SPACES,
    SUBSCRIBE,
)
from .journal import Journal
from .records import record_at
from .settings import Settings
from .things import Device, Policy, Product, Space, Target
from .world import World

NEWEST = 1_788_220_800.0  # 2026-09-01: fixed, so a seed makes the same world on any day
DAY = 86_400.0
BLOCK = 20  # one gateway, its children, and devices of their own
CHILDREN = 4
STEP = 240.0  # seconds between two registrations

# The first two blocks are set by hand, so that each kind of device exists from 40 devices on.
SET_STATUS = {0: "ONLINE", 1: "ONLINE", 5: "ONLINE", 6: "OFFLINE", 7: "INACTIVE", 8: "ABNORMAL", 9: "FROZEN"}
FULL = 11  # place in its block of a device that carries as many policies as it may
STATUSES = ("ONLINE", "OFFLINE", "INACTIVE", "ABNORMAL", "FROZEN")
SHARES = (62, 24, 8, 4, 2)


def build_world(config: Config, settings: Settings, journal: Journal, seed: int, devices: int) -> World:
    world = World(config, settings, journal, seed)
    _add_spaces(world)
    products = _add_products(world)
    policies = _add_policies(world)
    made = _add_devices(world, products, devices)
    _bind_all(world, policies, made)
    world.record_ids.last = max(world.record_ids.last, record_at(NEWEST))
    return world


def _name(world: World, what: str, length: int) -> str:
    return sha256(f"{world.seed}/{what}".encode()).hexdigest()[:length]


def _add_spaces(world: World) -> None:
    for number, name in enumerate(SPACES):
        space = Space(_name(world, name, 32), name, NEWEST - (900 - number) * DAY, default_app=number == 0)
        world.spaces[space.app_id] = space


def _space(world: World, name: str) -> Space:
    return next(space for space in world.spaces.values() if space.app_name == name)


def _add_products(world: World) -> list[Product]:
    for number, kind in enumerate(KINDS):
        created = NEWEST - (800 - number) * DAY
        record = record_at(created, int(_name(world, kind.name, 15), 16))
        service = {
            "service_id": kind.device_type,
            "service_type": kind.device_type,
            "properties": [],
            "commands": [],
        }
        product = Product(
            record=record,
            product_id=f"{record:024x}",
            space=_space(world, kind.space),
            name=kind.name,
            device_type=kind.device_type,
            manufacturer_name=kind.manufacturer,
            industry=kind.industry,
            created=created,
            protocol_type=kind.protocol,
            service_capabilities=(service,),
        )
        world.products[product.product_id] = product
        world.product_records.add(product)
    return list(world.products.values())


def _add_policies(world: World) -> dict[str, Policy]:
    defaults = [(DEFAULT_POLICY, name, "ALLOW", [PUBLISH, SUBSCRIBE], ["topic:#"]) for name in SPACES]
    policies = {}
    for number, (name, space, effect, actions, resources) in enumerate([*defaults, *POLICIES]):
        created = NEWEST - (700 - 10 * number) * DAY
        record = record_at(created, int(_name(world, f"{space}/{name}", 15), 16))
        statement = {"effect": effect, "actions": actions, "resources": resources}
        policy = Policy(record, f"{record:024x}", name, _space(world, space), [statement], created, created)
        world.add_policy(policy)
        policies[f"{space}/{name}" if name == DEFAULT_POLICY else name] = policy
    return policies


def _add_devices(world: World, products: list[Product], count: int) -> list[Device]:
    dice = random.Random(world.seed)  # noqa: S311 - demo data
    made: list[Device] = []
    gateway: Device | None = None
    for number in range(count):
        place = number % BLOCK
        parent = gateway if 1 <= place <= CHILDREN else None
        device = _device(number, place, products, parent, dice)
        gateway = device if place == 0 else gateway
        made.append(device)
    # Oldest first, as the indexes expect: appending is then all they do.
    for device in sorted(made, key=lambda one: one.record):
        world.add_device(device)
    return made


def _device(
    number: int, place: int, products: list[Product], parent: Device | None, dice: random.Random
) -> Device:
    # Always the same count of throws, so that no device depends on how many came before.
    kind_at, status, age, extra, tagged = (dice.random() for _ in range(5))
    at = 0 if place == 0 else 2 if parent else 1 + int(kind_at * (len(KINDS) - 1))
    kind, product = KINDS[at], products[at]
    # Blocks go back in time, so the first devices are the newest; in a block the gateway is the oldest.
    created = NEWEST - ((number // BLOCK + 1) * BLOCK - place) * STEP
    node_id = f"{kind.node}-{number:05}"
    device_id = f"{product.product_id}_{node_id}"
    now = _status(number, place, status)
    active = None if now == "INACTIVE" else created + 60 + age * 3000
    return Device(
        record=record_at(created, int(extra * 2**60)),
        device_id=device_id,
        node_id=node_id,
        gateway_id=parent.device_id if parent else device_id,
        device_name=kind.label.format(number),
        node_type="ENDPOINT" if parent else "GATEWAY",
        status="OFFLINE" if parent and now == "FROZEN" else now,
        product=product,
        created=created,
        active=active,
        seen=active and NEWEST - age * 5 * DAY,
        fw_version=FIRMWARE[int(extra * len(FIRMWARE))],
        sw_version=SOFTWARE[int(age * len(SOFTWARE))],
        device_sdk_version=SDK[int(tagged * len(SDK))],
        description=DESCRIPTIONS[int(extra * 7919 % len(DESCRIPTIONS))],
        tags=_tags(tagged),
        auth_type="CERTIFICATES" if extra < 0.05 else "SECRET",
    )


def _status(number: int, place: int, throw: float) -> str:
    if number < 2 * BLOCK and place in SET_STATUS:
        return SET_STATUS[place]
    left = throw * sum(SHARES)
    for status, share in zip(STATUSES, SHARES, strict=True):
        left -= share
        if left < 0:
            return status
    return STATUSES[0]


def _tags(throw: float) -> tuple[tuple[str, str], ...]:
    site, owner = SITES[int(throw * len(SITES))], OWNERS[int(throw * 97 % len(OWNERS))]
    return ((), (("site", site),), (("site", site), ("owner", owner)))[int(throw * 31 % 3)]


def _bind_all(world: World, policies: dict[str, Policy], devices: list[Device]) -> None:
    def bind(name: str, target: Target) -> None:
        world.bindings.add(policies[name].policy_id, target, 0)

    for space in world.spaces.values():
        bind(f"{space.app_name}/{DEFAULT_POLICY}", Target("app", space.app_id))
    for product in world.products.values():
        if product.device_type in ("Pump", "WaterMeter"):
            bind("telemetry_publish" if product.device_type == "Pump" else "meter-readings", _of(product))
    for number, device in enumerate(devices):
        for name in _policies_of(number):
            bind(name, Target("device", device.device_id))


def _of(product: Product) -> Target:
    return Target("product", product.product_id)


def _policies_of(number: int) -> tuple[str, ...]:
    """Policies bound straight to the device of this number."""
    if number % BLOCK == FULL and (number < 2 * BLOCK or number % 500 == FULL):
        return (
            "telemetry_publish",
            "deny_debug",
            "commands_subscribe",
            "firmware_read_only",
            "lab-everything",
        )
    if number in (12, 13, 14):
        return ("quarantine",)  # a policy with few targets in a world of any size
    if number % BLOCK == 15:
        return ("deny_debug",)
    if number % BLOCK == 16:
        return ("commands_subscribe", "firmware_read_only")
    return ()
