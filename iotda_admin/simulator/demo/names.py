"""The names of the demo's products and policies."""

from dataclasses import dataclass

SPACES = ("plant-north", "plant-south", "city-water", "lab")


@dataclass(frozen=True)
class ProductLine:
    space: str
    name: str
    device_type: str
    manufacturer: str
    industry: str
    node_prefix: str
    device_name: str  # with a place for the device's number
    protocol: str = "MQTT"


PRODUCT_LINES = (
    ProductLine(
        "plant-north",
        "edge-gateway",
        "Gateway",
        "Nordlicht Automation",
        "manufacturing",
        "gw",
        "Gateway hall {:03}",
    ),
    ProductLine(
        "plant-north",
        "pump-controller",
        "Pump",
        "Nordlicht Automation",
        "manufacturing",
        "pump",
        "Pump {:04}",
    ),
    ProductLine(
        "plant-north",
        "振动传感器",
        "VibrationSensor",
        "华辰仪表",
        "manufacturing",
        "vib",
        "{}号振动传感器",
    ),
    ProductLine(
        "plant-south",
        "press-line-plc",
        "PLC",
        "Talleres Ibáñez",
        "manufacturing",
        "plc",
        "Prensa n.º {}",
    ),
    ProductLine(
        "plant-south",
        "oven-thermometer",
        "Thermometer",
        "Talleres Ibáñez",
        "manufacturing",
        "oven",
        "Horno {} sonda",
    ),
    ProductLine(
        "city-water",
        "智能水表",
        "WaterMeter",
        "华辰仪表",
        "water",
        "meter",
        "{}号楼水表",
        "CoAP",
    ),
    ProductLine(
        "city-water",
        "valve-actuator",
        "Valve",
        "Žďár Armatury",
        "water",
        "valve",
        "Šoupátko {}",
    ),
    ProductLine(
        "city-water",
        "level-gauge",
        "LevelGauge",
        "Zürcher Messtechnik",
        "water",
        "level",
        "Füllstand Becken {}",
    ),
    ProductLine(
        "lab",
        "env-sensor",
        "EnvironmentSensor",
        "Wilde & Söhne",
        "research",
        "env",
        "環境センサー {}",
    ),
    ProductLine(
        "lab",
        "test-bench",
        "TestBench",
        "Wilde & Söhne",
        "research",
        "bench",
        "Test bench #{}",
    ),
)

PUBLISH, SUBSCRIBE = "iotda:devices:publish", "iotda:devices:subscribe"
OWN = "topic:/v1/${devices.deviceId}"

DEFAULT_POLICY = "system_default_policy"

# name, space, effect, actions, resources
POLICIES = (
    (
        "telemetry_publish",
        "plant-north",
        "ALLOW",
        [PUBLISH],
        [f"{OWN}/telemetry", f"{OWN}/events/*"],
    ),
    ("deny_debug", "plant-north", "DENY", [PUBLISH, SUBSCRIBE], [f"{OWN}/debug/*"]),
    ("commands_subscribe", "plant-north", "ALLOW", [SUBSCRIBE], [f"{OWN}/commands/*"]),
    ("firmware_read_only", "plant-north", "ALLOW", [SUBSCRIBE], ["topic:/ota/*"]),
    ("quarantine", "plant-north", "DENY", [PUBLISH, SUBSCRIBE], ["topic:*"]),
    ("press-alarms", "plant-south", "ALLOW", [PUBLISH], ["topic:/alarms/press/*"]),
    (
        "meter-readings",
        "city-water",
        "ALLOW",
        [PUBLISH],
        [f"{OWN}/readings", "topic:/tariff/current"],
    ),
    (
        "valve-control",
        "city-water",
        "ALLOW",
        [PUBLISH, SUBSCRIBE],
        [f"{OWN}/valve/*", "topic:/valves/all"],
    ),
    ("lab-everything", "lab", "ALLOW", [PUBLISH, SUBSCRIBE], ["topic:/lab/*"]),
)

SITES = ("north", "south", "hall-B", "Zurich", "上海", "Plzen", "東京")
OWNERS = ("ops", "facilities", "research", "客户服务")
FIRMWARE = ("2.3.9", "2.4.0", "2.4.1", "3.0.0-rc1")
SOFTWARE = ("1.8.4", "1.9.0", "1.9.2")
SDK = ("C_v1.2.0", "JAVA_v1.2.1", "PYTHON_v1.1.4")
DESCRIPTIONS = (
    "",
    "hall B, second row",
    "replaced in spring",
    "pilot",
    "请勿断电",
    "nicht abschalten",
)
