"""A world made from a seed. The first devices are the same however many there are."""

from hashlib import sha256

from .config import Config
from .demo_devices import DAY, NEWEST, add_devices, policies_of
from .demo_names import DEFAULT_POLICY, KINDS, POLICIES, PUBLISH, SPACES, SUBSCRIBE
from .journal import Journal
from .records import record_at
from .settings import Settings
from .things import Device, Policy, Product, Space, Target
from .world import World


def build_world(
    config: Config, settings: Settings, journal: Journal, seed: int, devices: int
) -> World:
    world = World(config, settings, journal, seed)
    world.record_ids.last = record_at(
        NEWEST
    )  # whatever comes later is newer, even by a wrong clock
    _add_spaces(world)
    products = _add_products(world)
    policies = _add_policies(world)
    made = add_devices(world, products, devices)
    _bind_all(world, policies, made)
    return world


def _name(world: World, what: str, length: int) -> str:
    return sha256(f"{world.seed}/{what}".encode()).hexdigest()[:length]


def _add_spaces(world: World) -> None:
    for number, name in enumerate(SPACES):
        space = Space(
            _name(world, name, 32),
            name,
            NEWEST - (900 - number) * DAY,
            default_app=number == 0,
        )
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
    defaults = [
        (DEFAULT_POLICY, name, "ALLOW", [PUBLISH, SUBSCRIBE], ["topic:#"])
        for name in SPACES
    ]
    policies = {}
    for number, (name, space, effect, actions, resources) in enumerate(
        [*defaults, *POLICIES]
    ):
        created = NEWEST - (700 - 10 * number) * DAY
        record = record_at(created, int(_name(world, f"{space}/{name}", 15), 16))
        statement = {"effect": effect, "actions": actions, "resources": resources}
        policy = Policy(
            record,
            f"{record:024x}",
            name,
            _space(world, space),
            [statement],
            created,
            created,
        )
        world.add_policy(policy)
        policies[f"{space}/{name}" if name == DEFAULT_POLICY else name] = policy
    return policies


def _bind_all(world: World, policies: dict[str, Policy], devices: list[Device]) -> None:
    def bind(name: str, target: Target) -> None:
        world.bindings.add(policies[name].policy_id, target, NEWEST)

    for space in world.spaces.values():
        bind(f"{space.app_name}/{DEFAULT_POLICY}", Target("app", space.app_id))
    for product in world.products.values():
        if product.device_type in ("Pump", "WaterMeter"):
            bind(
                "telemetry_publish"
                if product.device_type == "Pump"
                else "meter-readings",
                _of(product),
            )
    for number, device in enumerate(devices):
        for name in policies_of(number, device.product.space.app_name):
            bind(name, Target("device", device.device_id))


def _of(product: Product) -> Target:
    return Target("product", product.product_id)
