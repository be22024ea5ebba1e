"""Pages while another process is writing to the database.

It holds SQLite's one write lock; on PostgreSQL, a lock of every table that excludes
other writers. It ends only after the answer, so a page that waited for it would fail.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from iotda_admin.audit.models import Event
from tests.cloud import Cloud
from tests.test_matrix import user_or_anonymous

pytestmark = pytest.mark.django_db(transaction=True)

WRITES = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE")
LONGEST_MS = 500
BUSY = "another process is writing to it. Nothing was changed or sent."


@pytest.fixture
def locked(inventory: Cloud) -> Callable[..., Any]:
    """Return a context in which another process is writing."""

    @contextmanager
    def locked() -> Iterator[None]:
        with closing(connection.copy()) as other, other.cursor() as cursor:
            other.set_autocommit(False)
            if other.vendor == "sqlite":
                cursor.execute("BEGIN IMMEDIATE")
            else:
                tables = ", ".join(connection.introspection.table_names())
                cursor.execute(f"LOCK TABLE {tables} IN EXCLUSIVE MODE")
            yield
            other.rollback()

    return locked


def waits_briefly(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """Check that a statement that needs the lock does not wait long for it."""
    if sql.startswith(WRITES) or "FOR UPDATE" in sql:
        session = context["connection"].connection
        [milliseconds] = session.execute(
            "PRAGMA busy_timeout"
            if connection.vendor == "sqlite"
            else "SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout'"
        ).fetchone()
        assert 0 < milliseconds <= LONGEST_MS, sql
    return execute(sql, params, many, context)


def get(client: Client, url: str) -> Any:
    """Get a page, which may not wait long for a lock."""
    with connection.execute_wrapper(waits_briefly):
        return client.get(url)


def test_a_denial_that_cannot_be_recorded_is_a_503(locked: Any, viewer: Client) -> None:
    with locked():
        page = get(viewer, "/audit/")
    assert page.status_code == 503
    assert BUSY in page.text
    assert int(page.headers["Retry-After"]) > 0
    assert not Event.objects.filter(kind="denied").exists()
    assert get(viewer, "/audit/").status_code == 403
    assert Event.objects.filter(kind="denied").count() == 1


def test_an_object_of_another_space_is_not_found_only_once_that_is_recorded(
    locked: Any, inventory: Cloud
) -> None:
    here, there, *_more = inventory.known_ids["free_by_space"]
    user = user_or_anonymous("viewer", here)
    [device, *_others] = inventory.known_ids["free_by_space"][there]
    client = Client()
    client.force_login(user)
    with locked():
        assert get(client, f"/devices/{device}/").status_code == 503
    assert get(client, f"/devices/{device}/").status_code == 404


@pytest.mark.parametrize("url", ["/audit/export.csv", "/audit/export.jsonl"])
def test_a_download_begins_only_once_it_is_recorded(
    locked: Any, auditor: Client, url: str
) -> None:
    with locked():
        page = get(auditor, url)
    assert page.status_code == 503
    assert BUSY in page.text
    assert get(auditor, url).status_code == 200
