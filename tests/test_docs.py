"""The documentation is true: its tables, links, commands and rooms exist in the code."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands

from iotda_admin.access.roles import ROLES
from iotda_admin.operations.verbs import Verb, all_verbs
from tests.bench.__main__ import parser as bench_parser
from tests.chaos.__main__ import DEVICES as CHAOS
from tests.test_rooms import MAY_IMPORT

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]
HEADER = [
    "verb",
    "command",
    "permission",
    "roles",
    "target types",
    "inverse",
    "targets a call",
]


def cells(verb: Verb) -> list[str]:
    permissions = [permission.label for permission in verb.permissions]
    roles = [role for role in ROLES if role in verb.permissions[0].roles]
    return [
        f"`{verb.name}`",
        f"`manage.py {verb.command}`",
        ", ".join(f"`{label}`" for label in permissions),
        ", ".join(roles),
        ", ".join(verb.target_types),
        f"`{verb.inverse}`" if verb.inverse else "none",
        str(verb.chunk_size),
    ]


def verbs_table() -> str:
    verbs = sorted(all_verbs(), key=lambda verb: verb.name)
    rows = [HEADER, ["---"] * len(HEADER), *map(cells, verbs)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_table_of_verbs_is_drawn_from_the_registry() -> None:
    text = (DOCS / "verbs.md").read_text()
    _, _, rest = text.partition("<!-- verbs: start -->\n")
    written, _, _ = rest.partition("\n<!-- verbs: end -->")
    table = verbs_table()
    assert written == table, f"docs/verbs.md needs this table:\n\n{table}"


def test_every_role_is_documented() -> None:
    text = (DOCS / "verbs.md").read_text()
    assert re.findall(r"^\| `([a-z ]+)` \|", text, re.MULTILINE) == list(ROLES)


def test_every_permission_of_a_verb_names_the_same_roles() -> None:
    # The table has one cell for them.
    for verb in all_verbs():
        assert len({tuple(each.roles) for each in verb.permissions}) == 1


def links(page: Path) -> list[str]:
    return re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Any) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_every_page_of_the_documentation_is_linked_from_the_readme() -> None:
    linked = {(ROOT / link).resolve() for link in links(ROOT / "README.md")}
    assert [page.name for page in PAGES if page not in linked] == ["README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Any) -> None:
    known = {*get_commands(), *(verb.command for verb in all_verbs())}
    text = page.read_text()
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= known
    scripts = set(re.findall(r"(?<![./])\bbin/([a-z]+)", text))
    assert {name for name in scripts if not (ROOT / "bin" / name).exists()} == set()


def test_every_attack_and_measurement_is_in_the_figures() -> None:
    text = (DOCS / "figures.md").read_text()
    assert set(re.findall(r"`bin/chaos ([a-z0-9-]+)", text)) == set(CHAOS)
    (commands,) = (
        action.choices
        for action in bench_parser()._actions
        if isinstance(action.choices, dict)
    )
    assert set(re.findall(r"`bin/bench ([a-z0-9-]+)", text)) == set(commands)


def test_every_room_is_on_the_map() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert [room for room in MAY_IMPORT if f"`{room}`" not in text] == []


def test_every_file_that_is_named_exists() -> None:
    paths = {
        path
        for page in PAGES
        for path in re.findall(
            r"`((?:iotda_admin|devices|policies|tests|requirements|docs)/[\w./]+)`",
            page.read_text(),
        )
    }
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
