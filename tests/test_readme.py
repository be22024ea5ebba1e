"""The README's block is a valid `.env`, and its commands work in its order."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cloud import Cloud

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"((?:^    .*\n)+)", re.MULTILINE)
_, _, SECTION = (ROOT / "README.md").read_text().partition("## Pointing it")
DOTENV, COMMANDS, *_others = CODE.findall(SECTION)
SOURCES = (
    "bin",
    "devices",
    "policies",
    "requirements",
    "static",
    "templates",
    ".venv",
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with the sources and the README's `.env`, but without data."""
    for name in SOURCES:
        (tmp_path / name).symlink_to(ROOT / name)
    # A link would lead to the .env and the data of this folder.
    shutil.copytree(ROOT / "iotda_admin", tmp_path / "iotda_admin")
    shutil.copy(ROOT / "manage.py", tmp_path)
    (tmp_path / ".env").write_text(DOTENV)
    return tmp_path


def run(clone: Path, command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **changes}
    return subprocess.run(
        command, shell=True, cwd=clone, env=environment, capture_output=True, text=True
    )


def test_its_block_is_a_valid_dotenv(clone: Path) -> None:
    done = run(clone, ".venv/bin/python manage.py check --deploy --fail-level WARNING")
    assert done.returncode == 0, done.stderr


def test_its_commands_work_in_its_order(clone: Path, cloud_process: Cloud) -> None:
    cloud_process.reset()
    simulated = {
        "IOTDA_ENDPOINT": cloud_process.api,
        "IOTDA_PROJECT_ID": "5c0ffee05c0ffee05c0ffee05c0ffee0",
        "IOTDA_INSTANCE_ID": "",
        "IOTDA_AK": "DEMOAK",
        "IOTDA_SK": "DEMOSK",
        "DJANGO_SUPERUSER_USERNAME": "root",
        "DJANGO_SUPERUSER_EMAIL": "root@example.com",
        "DJANGO_SUPERUSER_PASSWORD": "long-enough-1",
    }
    for command in COMMANDS.replace(
        "createsuperuser", "createsuperuser --no-input"
    ).splitlines():
        done = run(clone, command.strip(), **simulated)
        assert done.returncode == 0, (command, done.stderr)
    assert (clone / "var" / "static" / "staticfiles.json").exists()
