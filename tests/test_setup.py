"""bin/setup makes .venv complete, or names the commands to run first."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("sh", "dirname", "cmp", "cp", "cat", "id")


class Machine:
    """A copy of bin/setup, without requirements, on a PATH that holds only `commands`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.commands = folder, folder / "commands"
        for name in ("bin", "requirements", "commands", "home", "no-pip/ensurepip"):
            (folder / name).mkdir(parents=True)
        (folder / "requirements" / "app.txt").write_text("# none\n")
        no_pip = "raise ImportError\n"
        (folder / "no-pip" / "ensurepip" / "__init__.py").write_text(no_pip)
        shutil.copy(ROOT / "bin" / "setup", folder / "bin")
        for tool in TOOLS:
            (self.commands / tool).symlink_to(str(shutil.which(tool)))

    def command(self, name: str, script: str) -> None:
        path = self.commands / name
        path.write_text(f'#!/bin/sh\n{script} "$@"\n')
        path.chmod(0o755)

    def python(self, name: str) -> None:
        self.command(name, f"exec {sys.executable}")

    def python_without_ensurepip(self, name: str) -> None:
        shadow = self.folder / "no-pip"
        self.command(name, f"PYTHONPATH={shadow} exec {sys.executable}")

    def setup(self) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "PYENV", "UV_"))
        }
        places = {"PATH": str(self.commands), "HOME": str(self.folder / "home")}
        return subprocess.run(
            [self.folder / "bin" / "setup", "app"],
            env=environment | places,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def complete(self) -> bool:
        pip = [str(self.folder / ".venv/bin/python"), "-m", "pip", "--version"]
        done = subprocess.run(pip, capture_output=True)
        return done.returncode == 0 and (self.folder / ".venv/installed-app").exists()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("name", ["python3", "python3.13"])
def test_a_python_without_ensurepip_leads_to_one_command(
    machine: Machine, name: str
) -> None:
    machine.python_without_ensurepip(name)
    done = machine.setup()
    assert done.returncode == 1
    assert f"apt install -y {name}-venv\n" in done.stderr
    assert "brew" not in done.stderr
    assert not (machine.folder / ".venv").exists()


def test_a_python_without_ensurepip_is_passed_over_for_a_complete_one(
    machine: Machine,
) -> None:
    machine.python_without_ensurepip("python3.13")
    machine.python("python3")
    assert machine.setup().returncode == 0
    assert machine.complete()


def test_an_unfinished_venv_is_made_again(machine: Machine) -> None:
    machine.python("python3")
    unfinished = [sys.executable, "-m", "venv", "--without-pip"]
    subprocess.run([*unfinished, machine.folder / ".venv"], check=True)
    # Even if it says that all is installed.
    shutil.copy(
        machine.folder / "requirements" / "app.txt",
        machine.folder / ".venv/installed-app",
    )
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert machine.complete()
    assert machine.setup().stderr == ""


@pytest.mark.parametrize("place", ["commands", "home/.local/bin"])
def test_uv_is_used_where_no_python_is_new_enough(machine: Machine, place: str) -> None:
    machine.command("python3", "exit 1;")
    machine.python_without_ensurepip("python3.12")
    calls = machine.folder / "calls"
    machine.command("uv", f'echo "$@" > {calls}; exec {sys.executable} -m venv .venv #')
    (machine.folder / place).mkdir(parents=True, exist_ok=True)
    (machine.commands / "uv").rename(machine.folder / place / "uv")
    assert machine.setup().returncode == 0
    assert calls.read_text() == "venv --quiet --seed --python >=3.12 .venv\n"
    assert machine.complete()


def test_without_python_the_commands_of_each_system_are_named(machine: Machine) -> None:
    machine.command("python3", "exit 1;")
    done = machine.setup()
    assert done.returncode == 1
    for line in (
        r"Debian 13, Ubuntu 24.04 or newer: .*apt install -y python3-venv",
        r"Debian 12, Ubuntu 22.04: .*apt install -y pipx && pipx install uv",
        r"macOS: +brew install python@3.13",
    ):
        assert re.search(line, done.stderr)
