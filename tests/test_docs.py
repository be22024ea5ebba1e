"""The documentation is true: its tables, links, commands and rooms exist in the code."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands
from django.urls import resolve

from iotda_admin.access.roles import ROLES
from iotda_admin.operations.cli.utility import CONTINUE
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
    known = {*get_commands(), CONTINUE, *(verb.command for verb in all_verbs())}
    text = page.read_text()
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= known
    scripts = set(re.findall(r"(?<![./])\bbin/([a-z]+)", text))
    assert {name for name in scripts if not (ROOT / "bin" / name).exists()} == set()


def test_every_command_of_the_product_is_documented() -> None:
    own = {
        name
        for name, app in get_commands().items()
        if str(app).partition(".")[0] in {"iotda_admin", "devices", "policies"}
    }
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    # demo_users is a part of bin/demo.
    assert (
        own - {"demo_users"} - set(re.findall(r"manage\.py ([a-z_]+)", text)) == set()
    )


# The changelog names settings that are gone.
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name != "CHANGELOG.md"],
    ids=lambda page: page.name,
)
def test_every_setting_that_is_named_exists(page: Any) -> None:
    settings = re.findall(r"`([A-Z][A-Z0-9_]+)`", (DOCS / "settings.md").read_text())
    others = {"NAME_FILE", "SCRIPT_NAME", "DATABASE_URL_FILE"}
    named = set(
        re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", page.read_text())
    )
    assert named - set(settings) - others == set()


def files_in_deployment() -> dict[str, str]:
    """Return the files that docs/deployment.md shows, by their names."""
    text = (DOCS / "deployment.md").read_text()
    shown = re.findall(
        r"^`(?:/etc/\S+/)?([^/`]+)`:\n\n((?:    .*\n|\n)+)", text, re.MULTILINE
    )
    return {
        name: re.sub(r"^    ", "", body, flags=re.MULTILINE) for name, body in shown
    }


def checked(*command: Any) -> tuple[int, str]:
    """Run a checker. Return its status, and what it says."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    return done.returncode, done.stderr + done.stdout


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_units_pass_systemd_analyze(tmp_path: Path) -> None:
    units = [name for name in files_in_deployment() if name.endswith(".service")]
    assert len(units) == 2
    for name in units:
        # systemd looks for the programs.
        text = files_in_deployment()[name].replace("/opt/iotda-admin", str(ROOT))
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in units]
    # What systemd does not know it ignores, with a line.
    assert checked("systemd-analyze", "verify", "--man=no", *paths) == (0, "")


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_the_site_passes_nginx(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    assert checked("openssl", "req", "-x509", "-subj", "/CN=desk", *made)[0] == 0
    site = files_in_deployment()["iotda-admin.conf"]
    for old, new in {
        "/etc/ssl/iotda-admin.pem": str(certificate),
        "/etc/ssl/private/iotda-admin.key": str(key),
        "listen 80": f"listen unix:{tmp_path}/http",
        "listen 443": f"listen unix:{tmp_path}/https",
    }.items():
        assert old in site
        site = site.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {tmp_path}/{kind}; " for kind in kinds)
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}}"
        f" http {{ access_log off; {folders} {site} }}"
    )
    status, said = checked("nginx", "-t", "-c", config)
    assert status == 0, said
    assert "[warn]" not in said


def test_the_kubernetes_example_calls_what_exists() -> None:
    objects = list(yaml.safe_load_all(files_in_deployment()["iotda-admin.yaml"]))
    assert [each["kind"] for each in objects] == ["Deployment", "Deployment", "Job"]
    for each in objects:
        (container,) = each["spec"]["template"]["spec"]["containers"]
        (program, *words) = container["command"]
        assert program.startswith("/opt/iotda-admin/.venv/bin/")
        if "manage.py" in words:
            assert words[words.index("manage.py") + 1] in get_commands()
        for probe in ("livenessProbe", "readinessProbe"):
            if probe in container:
                call = container[probe]["httpGet"]
                assert str(call["port"]) in " ".join(words)
                assert resolve(call["path"].partition("?")[0])


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
