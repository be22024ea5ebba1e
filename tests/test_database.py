"""The web server and the database: lost connections, and locks of other processes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
import requests
from django.db import connection

from iotda_admin.core.csv_export import csv_response, pieces
from iotda_admin.core.database import limit_waits
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operations.deployment import Browser, Deployment
from tests.operations.test_cli import database_url

postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="needs PostgreSQL"
)
PAGES = 12


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def deployment(inventory: Cloud, tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, inventory)
    deployment.env |= {
        "DATABASE_URL": database_url(),
        "DATABASE_LOCK_TIMEOUT": "0.5",
        "DATABASE_STATEMENT_TIMEOUT": "0",
    }
    make_user("operator")
    yield deployment
    deployment.kill()


@pytest.fixture
def web(deployment: Deployment) -> Browser:
    return Browser(
        deployment.start_web("--threads", str(PAGES)), "operator", "a-password-1"
    )


def get(web: Browser, path: str = "/devices/") -> Any:
    # Requests of several threads: a session of requests is not safe between them.
    return requests.get(
        web.base + path, cookies=web.http.cookies.get_dict(), timeout=60
    )


@contextmanager
def table_locked(table: str) -> Iterator[None]:
    """Hold a lock that readers of the table wait for, in another session."""
    with closing(psycopg.connect(database_url())) as session:
        session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def end_sessions() -> int:
    """End all other sessions, as a restart of PostgreSQL does; return their number."""
    sql = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    """
    with connection.cursor() as cursor:
        cursor.execute(sql)
        (ended,) = cursor.fetchone()
    return int(ended)


@postgresql
def test_no_page_is_lost_to_connections_of_before_a_restart(web: Browser) -> None:
    with table_locked("devices_device"), ThreadPoolExecutor(PAGES) as pool:
        pages = [pool.submit(get, web) for _ in range(PAGES)]
        assert {page.result().status_code for page in pages} == {503}
    assert end_sessions() >= PAGES
    assert [get(web).status_code for _ in range(PAGES)] == [200] * PAGES


@postgresql
def test_a_held_lock_is_a_503_that_says_when_to_try_again(web: Browser) -> None:
    with table_locked("devices_device"):
        # It is answered while the lock is held.
        page = get(web)
    assert page.status_code == 503
    assert "Our database did not answer in time" in page.text
    assert int(page.headers["Retry-After"]) > 0
    assert get(web).status_code == 200


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connect as the web server does, with a limit of a minute for a statement."""
    options = connection.settings_dict["OPTIONS"] | {"pool": None}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    limit_waits(0, 60)
    connection.close()
    yield
    connection.close()


def statement_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])


@postgresql
def test_a_download_has_no_limit_for_its_statements(limited: None) -> None:
    rows = ([statement_timeout()] for _ in range(1000))
    response = csv_response("limits.csv", ["limit"], rows)
    assert statement_timeout() == "1min"
    assert (
        b"".join(cast("Iterator[bytes]", response.streaming_content)).count(b'"0"')
        == 1000
    )
    assert statement_timeout() == "1min"
    # The browser goes away.
    rest = pieces(map(str, range(1000)))
    next(rest)
    rest.close()
    assert statement_timeout() == "1min"
