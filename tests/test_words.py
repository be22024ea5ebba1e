"""A public function or class of the product has a name that no other module defines."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("iotda_admin", "devices", "policies")
VIEW = "views of two apps, each called through its module, named as its URL"
# Names that several modules define on purpose, and why.
DELIBERATE = {
    "Command": "Django finds a management command by this name",
    "failures": VIEW,
    "freshness": "the view refreshes what the template tag draws",
    "reopen": "the view of the change of the same name",
    "retry": VIEW,
    "run_job": "the same step of either engine of the workers",
}


def modules_of_names(*, simulator: bool) -> dict[str, set[str]]:
    """Return where each public name of a program is defined, at the top level.

    The simulator is a program of its own, with IoTDA's words for the same things.
    """
    found = defaultdict(set)
    for room in PRODUCT:
        for path in (ROOT / room).rglob("*.py"):
            if "migrations" in path.parts or ("simulator" in path.parts) != simulator:
                continue
            for node in ast.parse(path.read_text()).body:
                if isinstance(
                    node, ast.FunctionDef | ast.ClassDef
                ) and not node.name.startswith("_"):
                    found[node.name].add(str(path.relative_to(ROOT)))
    return found


def defined_twice(*, simulator: bool) -> dict[str, list[str]]:
    names = modules_of_names(simulator=simulator)
    return {name: sorted(paths) for name, paths in names.items() if len(paths) > 1}


def test_no_public_name_is_defined_in_two_modules():
    twice = defined_twice(simulator=False)
    assert {name: twice[name] for name in twice if name not in DELIBERATE} == {}
    assert DELIBERATE.keys() - twice.keys() == set(), "remove these from DELIBERATE"


def test_no_public_name_is_defined_in_two_modules_of_the_simulator():
    assert defined_twice(simulator=True) == {}
