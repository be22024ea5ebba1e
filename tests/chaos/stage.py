"""The stage of one part of a run: its own simulator, database and folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from tests.chaos.forks import Helper, call_in_child
from tests.cloud import Cloud

# kill -9 takes nothing that was handed to the system; only a power cut would, and none is tried here.
MEMORY = Path("/dev/shm")
LOCAL_POSTGRES = "postgres://desk:desk@127.0.0.1:5432/desk"


@dataclass
class Stage:
    cloud: Cloud
    database: str
    # Holds the connections that this process must not have, as it forks.
    desk: Helper


@contextmanager
def stage(database: str, devices: int) -> Iterator[Stage]:
    """Start the simulator and load Django; the product is imported afterwards."""
    fast = MEMORY if os.access(MEMORY, os.W_OK) else None
    with (
        TemporaryDirectory(prefix="chaos-", dir=fast) as folder,
        database_url(database, folder) as url,
    ):
        cloud = Cloud()
        cloud.reset(devices)
        os.environ.update(
            DJANGO_SETTINGS_MODULE="tests.settings",
            TEST_DATA_DIR=folder,
            DATABASE_URL=url,
            IOTDA_ENDPOINT=cloud.api,
            DEMO_PASSWORD="demo-password-1",
        )
        desk = None
        try:
            import django

            django.setup()
            from tests.chaos import product

            call_in_child(product.prepare)
            product.warm_up()
            desk = Helper()
            yield Stage(cloud, database, desk)
        finally:
            if desk:
                desk.close()
            cloud.close()


@contextmanager
def database_url(database: str, folder: str) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{Path(folder) / 'iotda-admin.sqlite3'}"
        return
    import psycopg

    server = os.environ.get("DATABASE_URL") or LOCAL_POSTGRES
    name = f"chaos_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        connection.execute(f"alter database {name} set synchronous_commit = off")
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"drop database {name} with (force)")
