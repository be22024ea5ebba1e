"""Who may import what: the table of rooms in the README, held against the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Small helpers of the whole product; none of them knows a room.
COMMONS = {
    "iotda_admin.web",
    "iotda_admin.paging",
    "iotda_admin.ids",
    "iotda_admin.id_files",
    "iotda_admin.connection",
    "iotda_admin.sheet",
    "iotda_admin.request_id",
    "iotda_admin.reader_zone",
    "iotda_admin.system_user",
}
# What the features may use of the core rooms: their doors.
DOORS = {
    "iotda_admin.accounts.access",
    "iotda_admin.inventory.mirror",
    "iotda_admin.inventory.sync",
    "iotda_admin.iotda",
    "iotda_admin.operations.answer",
    "iotda_admin.operations.codes",
    "iotda_admin.operations.cli.commandline",
    "iotda_admin.operations.door",
    "iotda_admin.operations.forms",
    "iotda_admin.operations.models",
    "iotda_admin.operations.results",
    "iotda_admin.operations.rights",
    "iotda_admin.operations.verbs",
}
# A room, and all of ours that it may import besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "iotda_admin/iotda": set(),
    "iotda_admin/simulator": set(),
    "iotda_admin/audit": (COMMONS - {"iotda_admin.connection"}) | {"iotda_admin.accounts.scope"},
    "iotda_admin/rate": {"iotda_admin.iotda"},
    "iotda_admin/operations": COMMONS
    | {"iotda_admin.iotda", "iotda_admin.audit", "iotda_admin.rate", "iotda_admin.accounts.scope"},
    "iotda_admin/health": {
        "iotda_admin.audit",
        "iotda_admin.inventory.models",
        "iotda_admin.metrics",
        "iotda_admin.operations.models",
    },
    "iotda_admin/failures": COMMONS
    | {
        "iotda_admin.audit",
        "iotda_admin.accounts.access",
        "iotda_admin.inventory.models",
        "iotda_admin.operations",
    },
    "iotda_admin/inventory": COMMONS | {"iotda_admin.iotda", "iotda_admin.audit"},
    "iotda_admin/accounts": COMMONS | {"iotda_admin.audit", "iotda_admin.operations.door", "devices.models"},
    "devices": COMMONS | DOORS,
    "policies": COMMONS | DOORS | {"devices.models"},
}
# Foreign packages that are one room's business.
ONLY_IN = {
    "requests": {"iotda_admin/iotda"},
    "urllib3": {"iotda_admin/iotda"},
    "fastapi": {"iotda_admin/simulator"},
    "starlette": {"iotda_admin/simulator"},
    "uvicorn": {"iotda_admin/simulator"},
    "pydantic": {"iotda_admin/simulator"},
}
NO_DJANGO = {"iotda_admin/iotda", "iotda_admin/simulator"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, by its full name; inside functions too."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: -(node.level - 1) or None]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            # `from iotda_admin import audit` imports a room, not the top.
            whole = module in ("iotda_admin", "iotda_admin.operations")
            yield from (f"{module}.{alias.name}" for alias in node.names) if whole else [module]


def of_room(room: str) -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / room).rglob("*.py")):
        if "migrations" not in path.parts:
            yield from ((path, module) for module in imports(path))


def within(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_it_imports_only_what_its_room_may(room):
    own, ours = room.replace("/", "."), {"iotda_admin", "devices", "policies"}
    wrong = [
        f"{path.relative_to(ROOT)}: {module}"
        for path, module in of_room(room)
        if within(module, ours) and not within(module, MAY_IMPORT[room] | {own})
    ]
    assert wrong == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_it_leaves_other_rooms_packages_alone(room):
    foreign = {name for name, rooms in ONLY_IN.items() if room not in rooms}
    foreign |= {"django"} if room in NO_DJANGO else set()
    assert [f"{path.name}: {module}" for path, module in of_room(room) if within(module, foreign)] == []


def test_every_room_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [room for room in MAY_IMPORT if f"`{room}`" not in readme] == []
