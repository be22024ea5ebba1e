"""The database of a measured product: one per round, copied from a prepared one."""

import getpass
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

FILE = "iotda-admin.sqlite3"


class Sqlite:
    """A database in the product's folder, copied with the folder."""

    def url(self, folder: Path) -> str:
        return f"sqlite:///{folder / FILE}"

    def copy(self, prepared: Path, folder: Path) -> None:
        pass

    def connect(self, folder: Path) -> Any:
        return sqlite3.connect(
            folder / FILE, timeout=20, isolation_level=None, check_same_thread=False
        )

    def close(self) -> None:
        pass


class Postgres:
    """A server, with a database for each folder."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.run = secrets.token_hex(4)
        self.made: list[str] = []

    def name(self, folder: Path) -> str:
        return f"bench_{self.run}_{folder.name}"

    def url(self, folder: Path) -> str:
        name = self.name(folder)
        if name not in self.made:
            self.command(f'create database "{name}"')
            self.made.append(name)
        return urlunsplit(urlsplit(self.server)._replace(path=f"/{name}"))

    def copy(self, prepared: Path, folder: Path) -> None:
        self.command(
            f'create database "{self.name(folder)}" template "{self.name(prepared)}"'
        )
        self.made.append(self.name(folder))

    def connect(self, folder: Path) -> Any:
        return psycopg.connect(self.url(folder), autocommit=True)

    def command(self, sql: str) -> None:
        with closing(psycopg.connect(self.server, autocommit=True)) as server:
            server.execute(sql)

    def close(self) -> None:
        for name in self.made:
            self.command(f'drop database if exists "{name}" with (force)')


class Cluster(Postgres):
    """Our own server, as in .ci/run. PostgreSQL refuses to run as root."""

    def __init__(self) -> None:
        tools = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not tools:
            raise SystemExit(
                "PostgreSQL is not installed; or name a server in DATABASE_URL."
            )
        self.tools, self.home = (
            tools[-1].parent,
            Path(tempfile.mkdtemp(prefix="bench-postgres-")),
        )
        self.user = "postgres" if getpass.getuser() == "root" else getpass.getuser()
        shutil.chown(self.home, self.user)
        port = free_port()
        self.tool("initdb", "-A", "trust", "-E", "UTF8", "-U", "postgres")
        listen = f"-p {port} -k {self.home} -c listen_addresses=127.0.0.1"
        self.tool("pg_ctl", "-l", str(self.home / "log"), "-w", "-o", listen, "start")
        super().__init__(f"postgres://postgres@127.0.0.1:{port}/postgres")

    def tool(self, name: str, *words: str) -> None:
        command = [str(self.tools / name), "-D", str(self.home / "data"), *words]
        as_other = (
            ["runuser", "-u", self.user, "--"] if self.user != getpass.getuser() else []
        )
        subprocess.run(
            [*as_other, *command], cwd=self.home, check=True, stdout=subprocess.DEVNULL
        )

    def close(self) -> None:
        self.tool("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(self.home)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database(kind: str) -> Sqlite | Postgres:
    if kind == "sqlite":
        return Sqlite()
    given = os.environ.get("DATABASE_URL", "")
    return Postgres(given) if given.startswith("postgres") else Cluster()
