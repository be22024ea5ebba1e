"""The demo's devices, in blocks: a gateway, its children, and other devices."""

import random

from ..state.models import Device, Product
from ..state.records import record_id_at
from ..state.store import State
from .names import (
    DEFAULT_POLICY,
    DESCRIPTIONS,
    FIRMWARE,
    OWNERS,
    PRODUCT_LINES,
    SDK,
    SITES,
    SOFTWARE,
    SPACES,
)

NEWEST = (
    1_788_220_800.0  # 2026-09-01: fixed, so that a seed gives the same state on any day
)
DAY = 86_400.0
BLOCK = 20
CHILDREN = 4
REGISTRATION_INTERVAL = 240.0  # seconds

# Set by hand in the first two blocks, so that 40 devices include every kind.
FIXED_STATUS = {
    0: "ONLINE",
    1: "ONLINE",
    5: "ONLINE",
    6: "OFFLINE",
    7: "INACTIVE",
    8: "ABNORMAL",
    9: "FROZEN",
}
FULL = 11  # position in its block of a device with as many policies as allowed
STATUSES = ("ONLINE", "OFFLINE", "INACTIVE", "ABNORMAL", "FROZEN")
SHARES = (62, 24, 8, 4, 2)
GATEWAY, PUMP, SENSOR = (
    0,
    1,
    2,
)  # positions in PRODUCT_LINES, all in the first resource space

QUARANTINED = (12, 13, 14)  # as few in a state of any size
FULL_POLICIES = (
    "telemetry_publish",
    "deny_debug",
    "commands_subscribe",
    "firmware_read_only",
    f"{SPACES[0]}/{DEFAULT_POLICY}",
)
USUAL = dict(
    zip(
        SPACES,
        ("deny_debug", "press-alarms", "valve-control", "lab-everything"),
        strict=True,
    )
)


def add_devices(state: State, products: list[Product], count: int) -> list[Device]:
    generator = random.Random(state.seed)  # noqa: S311 - demo data
    devices: list[Device] = []
    gateway: Device | None = None
    for number in range(count):
        position = number % BLOCK
        parent = gateway if 1 <= position <= CHILDREN else None
        device = _device(number, products, parent, generator)
        gateway = device if position == 0 else gateway
        devices.append(device)
    # The indexes only append when the oldest device comes first.
    for device in sorted(devices, key=lambda one: one.record_id):
        state.add_device(device)
    return devices


def _device(
    number: int,
    products: list[Product],
    parent: Device | None,
    generator: random.Random,
) -> Device:
    # Each device draws the same count of numbers: none depends on those before it.
    line, status, age, extra, tagged = (generator.random() for _ in range(5))
    at, created = _product_line(number, line), _created(number)
    node_id = f"{PRODUCT_LINES[at].node_prefix}-{number:05}"
    device_id = f"{products[at].product_id}_{node_id}"
    device = Device(
        record_id=record_id_at(created, int(extra * 2**60)),
        device_id=device_id,
        node_id=node_id,
        gateway_id=parent.device_id if parent else device_id,
        device_name=PRODUCT_LINES[at].device_name.format(number),
        node_type="ENDPOINT" if parent else "GATEWAY",
        status=_status(number, status),
        product=products[at],
        created=created,
        fw_version=FIRMWARE[int(extra * len(FIRMWARE))],
        sw_version=SOFTWARE[int(age * len(SOFTWARE))],
        device_sdk_version=SDK[int(tagged * len(SDK))],
        description=DESCRIPTIONS[int(extra * 7919 % len(DESCRIPTIONS))],
        tags=_tags(tagged),
        auth_type="CERTIFICATES" if extra < 0.05 else "SECRET",
    )
    _connect(device, age)
    return device


def _created(number: int) -> float:
    """Later blocks are older; a gateway is the oldest device of its block."""
    block, position = divmod(number, BLOCK)
    return NEWEST - ((block + 1) * BLOCK - position) * REGISTRATION_INTERVAL


def _connect(device: Device, age: float) -> None:
    if device.status != "INACTIVE":
        device.first_connected = device.created + 60 + age * 3000
        device.status_changed = max(device.first_connected, NEWEST - age * 5 * DAY)
    if device.status == "FROZEN" and not device.directly_connected:
        device.status = "OFFLINE"


def _product_line(number: int, drawn: float) -> int:
    position = number % BLOCK
    if position == 0:
        return GATEWAY
    if position <= CHILDREN:
        return SENSOR
    if position == FULL or number in QUARANTINED:
        return PUMP
    return 1 + int(drawn * (len(PRODUCT_LINES) - 1))


def _status(number: int, drawn: float) -> str:
    if number < 2 * BLOCK and number % BLOCK in FIXED_STATUS:
        return FIXED_STATUS[number % BLOCK]
    left = drawn * sum(SHARES)
    for status, share in zip(STATUSES, SHARES, strict=True):
        left -= share
        if left < 0:
            return status
    return STATUSES[0]


def _tags(drawn: float) -> tuple[tuple[str, str], ...]:
    site = ("site", SITES[int(drawn * len(SITES))])
    owner = ("owner", OWNERS[int(drawn * 97 % len(OWNERS))])
    return ((), (site,), (site, owner))[int(drawn * 31 % 3)]


def policies_of(number: int, space: str) -> tuple[str, ...]:
    """Return the names of the policies bound to a device, all of its space."""
    position = number % BLOCK
    if position == FULL and (number < 2 * BLOCK or number % 500 == FULL):
        return FULL_POLICIES
    if number in QUARANTINED:
        return ("quarantine",)
    if position == 15:
        return (USUAL[space],)
    return (USUAL[space], f"{space}/{DEFAULT_POLICY}") if position == 16 else ()
