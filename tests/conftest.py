"""Fixtures: a simulated platform, an inventory synced from it, one user per role."""

import os
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db import connection as db
from django.db.models import AutoField, DateTimeField, Model
from django.db.models.sql import InsertQuery
from django.test import Client, TransactionTestCase
from django.utils import timezone
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker, Settings

from devices.models import Device, Product, Space
from iotda_admin.access.actor import Actor
from iotda_admin.access.models import EVERY_SPACE, Grant
from iotda_admin.audit import triggers
from iotda_admin.audit.head import head_file
from iotda_admin.inventory.models import MirrorState, SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.rate import connection, own_connection, platform_state
from policies.models import Binding, Policy
from tests import migrated
from tests.cloud import Cloud

# On a loaded machine a deadline or a slow example is no failure.
settings.register_profile(
    "loaded", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("loaded")

HTMX = {"HX-Request": "true"}
MIRRORED: list[type[Model]] = [
    Space,
    Product,
    Device,
    Policy,
    Binding,
    SyncRun,
    MirrorState,
]
# The statements that insert the inventory once it was read, each with the values of its rows.
INSERTS: dict[str, list[Sequence[Any]]] = {}
READ_AT = timezone.now()
MIGRATED = sqlite3.connect(":memory:")
# Where a script runs the tests in its background they ignore Ctrl-C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Keep a copy of the migrated database, where SQLite has it."""
    with closing(MIGRATED):
        if db.vendor == "sqlite":
            with django_db_blocker.unblock():
                db.ensure_connection()
                db.connection.backup(MIGRATED)
        yield


def as_migrated(test: TransactionTestCase) -> None:
    """Undo what such a test has committed.

    On SQLite the kept copy is put back: to empty the tables and to create the permissions again
    takes 20 times as long.
    """
    if db.vendor == "sqlite":
        db.ensure_connection()
        MIGRATED.backup(db.connection)
    else:
        # The audit trail refuses it; flush guards it again.
        for table in triggers.DELETABLE:
            for action in triggers.trigger_actions():
                with db.cursor() as cursor:
                    cursor.execute(
                        f"DROP TRIGGER IF EXISTS {table}_{action} ON {table}"
                    )
        empty_tables(test)
    # The next trail starts at its first event: the known one is not missing.
    head_file().unlink(missing_ok=True)


empty_tables = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
TransactionTestCase._fixture_teardown = as_migrated  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def cloud_process() -> Iterator[Cloud]:
    cloud = Cloud()
    yield cloud
    cloud.close()


@pytest.fixture
def cloud(
    cloud_process: Cloud, settings: Settings, django_db_blocker: DjangoDbBlocker
) -> Iterator[Cloud]:
    """A fresh simulated platform, and our connection pointed at it."""
    cloud_process.reset()
    settings.IOTDA_ENDPOINT = cloud_process.api
    connection.client.cache_clear()
    yield cloud_process
    connection.client().close()
    connection.client.cache_clear()
    forget_state(django_db_blocker)
    # A database with an open session cannot be dropped at the end.
    own_connection.close_connection()
    cloud_process.process.require_no_errors()


def forget_state(blocker: DjangoDbBlocker) -> None:
    """Delete the state of the platform: it is committed, though a test is rolled back."""
    if platform_state._reported.repeat_at and db.vendor == "postgresql":
        with blocker.unblock():
            own_connection.execute("DELETE FROM rate_platformstate RETURNING id", {})
    platform_state._reported = platform_state._Reported()


@pytest.fixture
def inventory(cloud: Cloud, db: None) -> Cloud:
    """The simulated platform, with all of it already read into our tables.

    After each reset it is the same, so it is read once, and then the rows of that reading are inserted again.
    """
    if not INSERTS:
        assert run_sync(SyncRun.objects.create(), connection.client())
        for model in MIRRORED:
            for row in model._default_manager.order_by("pk"):
                statement, values = insert_statement(row)
                INSERTS.setdefault(statement, []).append(values)
    else:
        insert_inventory(READ_AT, timezone.now())
    return cloud


def insert_statement(row: Model) -> tuple[str, Sequence[Any]]:
    """Return the statement that inserts a row as it would be if it were read at READ_AT."""
    fields = [
        each for each in row._meta.concrete_fields if not isinstance(each, AutoField)
    ]
    for field in fields:
        if isinstance(field, DateTimeField):
            setattr(row, field.attname, READ_AT)
    query = InsertQuery(type(row))
    query.insert_values(fields, [row])
    ((statement, values),) = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
    return statement, values


def insert_inventory(*times: datetime) -> None:
    """Insert the rows with another time. Compiling the statements took most of the time of a test."""
    then, now = map(db.ops.adapt_datetimefield_value, times)
    with transaction.atomic(), db.cursor() as cursor:
        for statement, rows in INSERTS.items():
            cursor.executemany(
                statement,
                [[now if value == then else value for value in row] for row in rows],
            )


def make_user(role: str, *spaces: str) -> User:
    """Create a user with a role, in these spaces or else in every space."""
    user = User.objects.create_user(role.replace(" ", ""), password="a-password-1")
    user.groups.add(Group.objects.get(name=role))
    Grant.objects.bulk_create(
        [Grant(user=user, app_id=app_id) for app_id in spaces or [EVERY_SPACE]]
    )
    return user


def signed_in(role: str) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


@pytest.fixture
def viewer(db: None) -> Client:
    return signed_in("viewer")


@pytest.fixture
def operator(db: None) -> Client:
    return signed_in("operator")


@pytest.fixture
def policyadmin(db: None) -> Client:
    return signed_in("policy admin")


@pytest.fixture
def auditor(db: None) -> Client:
    return signed_in("auditor")


@pytest.fixture
def admin(db: None) -> Client:
    return signed_in("admin")


@pytest.fixture
def anonymous(db: None) -> Client:
    return Client()


@pytest.fixture
def actor(db: None) -> Actor:
    """An actor with every permission and space, for tests of the services."""
    return Actor(make_user("admin"), "admin", "test", "127.0.0.1")


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> None:
    # The vendor's SDK writes into the home folder when it is imported.
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))
    os.environ[migrated.KEPT] = str(tmp_path_factory.getbasetemp() / "migrated.sqlite3")
