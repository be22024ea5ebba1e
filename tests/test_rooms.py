"""Which room may import which: the table of the design, held against the code."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"iotda_admin", "devices", "policies"}

# Each room, and every other room it may import. Imports go downwards only.
CORE = {"iotda_admin.core"}
GROUND = CORE | {"iotda_admin.iotda", "iotda_admin.access"}
BASE = GROUND | {"iotda_admin.audit", "iotda_admin.rate"}
ENGINE = BASE | {"iotda_admin.operations", "iotda_admin.inventory"}
FEATURES = ENGINE | {"iotda_admin.failures", "iotda_admin.health"}
MAY_IMPORT: dict[str, set[str]] = {
    "iotda_admin/core": set(),
    "iotda_admin/iotda": set(),
    "iotda_admin/simulator": set(),
    "iotda_admin/access": CORE,
    "iotda_admin/audit": CORE | {"iotda_admin.access"},
    "iotda_admin/rate": GROUND,
    "iotda_admin/operations": BASE,
    "iotda_admin/inventory": BASE | {"iotda_admin.operations"},
    "iotda_admin/failures": ENGINE,
    "iotda_admin/health": ENGINE,
    "iotda_admin/maintenance": ENGINE | {"iotda_admin.health"},
    "devices": FEATURES,
    "policies": FEATURES | {"devices"},
    "iotda_admin/accounts": FEATURES | {"devices", "policies"},
}
# Inside operations: execution knows no pages, and nothing knows the command line.
WINGS = {
    "iotda_admin/operations/execution": {"web", "cli", "followups"},
    "iotda_admin/operations/followups": {"web", "cli"},
    "iotda_admin/operations/web": {"cli"},
    "iotda_admin/operations/cli": set(),
}
# Foreign packages that only one room uses.
ONLY_IN = {
    "requests": {"iotda_admin/iotda", "iotda_admin/rate"},
    "urllib3": {"iotda_admin/iotda"},
}
NO_DJANGO = {"iotda_admin/iotda"}


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, by its full name; inside functions too."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join(package.split(".")[: -(node.level - 1) or None])
                if node.level
                else ""
            )
            module = ".".join(filter(None, [base, node.module]))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_of_room(room: str) -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / room).rglob("*.py")):
        if "migrations" not in path.parts:
            yield from ((path, module) for module in imports(path))


def is_within(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room.replace("/", ".")}
    wrong = [
        f"{path.relative_to(ROOT)}: {module}"
        for path, module in imports_of_room(room)
        if is_within(module, OURS) and not is_within(module, allowed)
    ]
    assert wrong == []


def test_no_two_rooms_import_each_other() -> None:
    names = {room.replace("/", ".") for room in MAY_IMPORT}
    arrows = {
        (room.replace("/", "."), other)
        for room in MAY_IMPORT
        for _path, module in imports_of_room(room)
        for other in names
        if is_within(module, {other}) and other != room.replace("/", ".")
    }
    assert {(a, b) for a, b in arrows if (b, a) in arrows} == set()


def test_the_simulator_needs_only_the_standard_library() -> None:
    allowed = {*sys.stdlib_module_names, "iotda_admin.simulator"}
    assert [
        f"{path.name}: {module}"
        for path, module in imports_of_room("iotda_admin/simulator")
        if not is_within(module, allowed)
    ] == []


# The parts of the simulator, and the parts that each may import besides itself.
PARTS = {
    "state": set(),
    "faults": {"state"},
    "demo": {"state"},
    "api": {"faults", "state"},
    "control": {"api", "faults", "state"},
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_simulator_imports_only_what_it_may(part: str) -> None:
    forbidden = {
        f"iotda_admin.simulator.{other}"
        for other in PARTS.keys() - PARTS[part] - {part}
    }
    assert [
        f"{path.name}: {module}"
        for path, module in imports_of_room(f"iotda_admin/simulator/{part}")
        if is_within(module, forbidden)
    ] == []


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_of_operations_imports_only_what_it_may(wing: str) -> None:
    forbidden = {f"iotda_admin.operations.{name}" for name in WINGS[wing]}
    wrong = [
        f"{path.name}: {module}"
        for path, module in imports_of_room(wing)
        if is_within(module, forbidden)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_leaves_the_packages_of_others_alone(room: str) -> None:
    foreign = {name for name, rooms in ONLY_IN.items() if room not in rooms}
    foreign |= {"django"} if room in NO_DJANGO else set()
    wrong = [
        f"{path.name}: {module}"
        for path, module in imports_of_room(room)
        if is_within(module, foreign)
    ]
    assert wrong == []


def test_every_folder_with_code_is_a_room_in_the_table() -> None:
    top = {ROOT / "devices", ROOT / "policies", *(ROOT / "iotda_admin").iterdir()}
    folders = {path for path in top if path.is_dir() and any(path.rglob("*.py"))}
    rooms = {ROOT / room for room in MAY_IMPORT}
    assert folders - rooms == set()


def looked_up_apps(path: Path) -> Iterator[str]:
    """Yield the app label of every call of ``get_model``; empty if it is no literal."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("get_model"):
            label = node.args[0] if node.args else None
            yield str(label.value) if isinstance(label, ast.Constant) else ""


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_looks_up_no_model_of_another_room_by_name(room: str) -> None:
    forbidden = {"", *(Path(name).name for name in MAY_IMPORT)} - {Path(room).name}
    wrong = [
        f"{path.relative_to(ROOT)}: {label}"
        for path in sorted((ROOT / room).rglob("*.py"))
        if "migrations" not in path.parts
        for label in looked_up_apps(path)
        if label.partition(".")[0] in forbidden
    ]
    assert wrong == []
