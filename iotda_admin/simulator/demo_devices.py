"""The devices of the demo: in blocks, each with a gateway, its children, and devices of their own."""

import random

from .demo_names import (
    DEFAULT_POLICY,
    DESCRIPTIONS,
    FIRMWARE,
    KINDS,
    OWNERS,
    SDK,
    SITES,
    SOFTWARE,
    SPACES,
)
from .records import record_at
from .things import Device, Product
from .world import World

NEWEST = 1_788_220_800.0  # 2026-09-01: fixed, so a seed makes the same world on any day
DAY = 86_400.0
BLOCK = 20  # one gateway, its children, and devices of their own
CHILDREN = 4
STEP = 240.0  # seconds between two registrations

# The first two blocks are set by hand, so that each kind of device exists from 40 devices on.
SET_STATUS = {
    0: "ONLINE",
    1: "ONLINE",
    5: "ONLINE",
    6: "OFFLINE",
    7: "INACTIVE",
    8: "ABNORMAL",
    9: "FROZEN",
}
FULL = 11  # place in its block of a device that carries as many policies as it may
STATUSES = ("ONLINE", "OFFLINE", "INACTIVE", "ABNORMAL", "FROZEN")
SHARES = (62, 24, 8, 4, 2)
GATEWAY, PUMP, SENSOR = 0, 1, 2  # places in KINDS, all of the first resource space

QUARANTINED = (12, 13, 14)  # few, in a world of any size
AS_MANY_AS_ALLOWED = (
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


def add_devices(world: World, products: list[Product], count: int) -> list[Device]:
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
    number: int,
    place: int,
    products: list[Product],
    parent: Device | None,
    dice: random.Random,
) -> Device:
    # Always the same count of throws, so that no device depends on how many came before.
    kind, status, age, extra, tagged = (dice.random() for _ in range(5))
    at = _kind(number, place, kind)
    # Blocks go back in time, so the first devices are the newest; in a block the gateway is the oldest.
    created = NEWEST - ((number // BLOCK + 1) * BLOCK - place) * STEP
    device_id = f"{products[at].product_id}_{KINDS[at].node}-{number:05}"
    now = _status(number, place, status)
    active = None if now == "INACTIVE" else created + 60 + age * 3000
    return Device(
        record=record_at(created, int(extra * 2**60)),
        device_id=device_id,
        node_id=device_id.partition("_")[2],
        gateway_id=parent.device_id if parent else device_id,
        device_name=KINDS[at].label.format(number),
        node_type="ENDPOINT" if parent else "GATEWAY",
        status="OFFLINE" if parent and now == "FROZEN" else now,
        product=products[at],
        created=created,
        active=active,
        seen=active and max(active, NEWEST - age * 5 * DAY),
        fw_version=FIRMWARE[int(extra * len(FIRMWARE))],
        sw_version=SOFTWARE[int(age * len(SOFTWARE))],
        device_sdk_version=SDK[int(tagged * len(SDK))],
        description=DESCRIPTIONS[int(extra * 7919 % len(DESCRIPTIONS))],
        tags=_tags(tagged),
        auth_type="CERTIFICATES" if extra < 0.05 else "SECRET",
    )


def _kind(number: int, place: int, throw: float) -> int:
    if place == 0:
        return GATEWAY
    if place <= CHILDREN:
        return SENSOR
    if place == FULL or number in QUARANTINED:
        return PUMP
    return 1 + int(throw * (len(KINDS) - 1))


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
    return ((), (("site", site),), (("site", site), ("owner", owner)))[
        int(throw * 31 % 3)
    ]


def policies_of(number: int, space: str) -> tuple[str, ...]:
    """Policies bound straight to the device of this number: those of its own resource space."""
    place = number % BLOCK
    if place == FULL and (number < 2 * BLOCK or number % 500 == FULL):
        return AS_MANY_AS_ALLOWED
    if number in QUARANTINED:
        return ("quarantine",)
    if place == 15:
        return (USUAL[space],)
    return (USUAL[space], f"{space}/{DEFAULT_POLICY}") if place == 16 else ()
