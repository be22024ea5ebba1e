"""Creates a state from a seed. The number of devices does not change the first ones."""

from hashlib import sha256

from ..config import Config
from ..settings import Settings
from ..state.journal import Journal
from ..state.models import Device, Policy, Product, ResourceSpace, Target
from ..state.records import record_id_at
from ..state.store import State
from .devices import DAY, NEWEST, add_devices, policies_of
from .names import DEFAULT_POLICY, POLICIES, PRODUCT_LINES, PUBLISH, SPACES, SUBSCRIBE


def create_state(
    config: Config, settings: Settings, journal: Journal, *, seed: int, devices: int
) -> State:
    state = State(config, settings, journal, seed)
    state.record_ids.last = record_id_at(
        NEWEST
    )  # later records are newer, even if the clock is wrong
    _add_spaces(state)
    products = _add_products(state)
    policies = _add_policies(state)
    _bind_policies(state, policies, add_devices(state, products, devices))
    return state


def _digest(state: State, text: str, length: int) -> str:
    return sha256(f"{state.seed}/{text}".encode()).hexdigest()[:length]


def _record_id(state: State, created: float, text: str) -> int:
    return record_id_at(created, int(_digest(state, text, 15), 16))


def _add_spaces(state: State) -> None:
    for number, name in enumerate(SPACES):
        created = NEWEST - (900 - number) * DAY
        space = ResourceSpace(
            _digest(state, name, 32), name, created, default_app=number == 0
        )
        state.spaces[space.app_id] = space


def _space(state: State, name: str) -> ResourceSpace:
    return next(space for space in state.spaces.values() if space.app_name == name)


def _add_products(state: State) -> list[Product]:
    for number, line in enumerate(PRODUCT_LINES):
        created = NEWEST - (800 - number) * DAY
        record_id = _record_id(state, created, line.name)
        service = {"service_id": line.device_type, "service_type": line.device_type}
        product = Product(
            record_id=record_id,
            product_id=f"{record_id:024x}",
            space=_space(state, line.space),
            name=line.name,
            device_type=line.device_type,
            manufacturer_name=line.manufacturer,
            industry=line.industry,
            created=created,
            protocol_type=line.protocol,
            service_capabilities=({**service, "properties": [], "commands": []},),
        )
        state.add_product(product)
    return list(state.products.values())


def _add_policies(state: State) -> dict[str, Policy]:
    defaults = [
        (DEFAULT_POLICY, name, "ALLOW", [PUBLISH, SUBSCRIBE], ["topic:*"])
        for name in SPACES
    ]
    policies = {}
    for number, (name, space_name, effect, actions, resources) in enumerate(
        [*defaults, *POLICIES]
    ):
        created = NEWEST - (700 - 10 * number) * DAY
        record_id = _record_id(state, created, f"{space_name}/{name}")
        statement = {"effect": effect, "actions": actions, "resources": resources}
        space = _space(state, space_name)
        policy = Policy(
            record_id, f"{record_id:024x}", name, space, [statement], created, created
        )
        state.add_policy(policy)
        policies[f"{space_name}/{name}" if name == DEFAULT_POLICY else name] = policy
    return policies


def _bind_policies(
    state: State, policies: dict[str, Policy], devices: list[Device]
) -> None:
    def bind(name: str, target_type: str, target_id: str) -> None:
        state.bindings.add(
            policies[name].policy_id, Target(target_type, target_id), NEWEST
        )

    for space in state.spaces.values():
        bind(f"{space.app_name}/{DEFAULT_POLICY}", "app", space.app_id)
    by_type = {"Pump": "telemetry_publish", "WaterMeter": "meter-readings"}
    for product in state.products.values():
        if name := by_type.get(product.device_type):
            bind(name, "product", product.product_id)
    for number, device in enumerate(devices):
        for name in policies_of(number, device.product.space.app_name):
            bind(name, "device", device.device_id)
