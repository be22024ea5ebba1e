"""Wakes the workers when there is something to send.

A wake-up carries no data and may get lost: a worker reads our rows every second anyway.
"""

import logging
import os
import select
import stat
import time
from contextlib import suppress
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string

from iotda_admin.operations.execution.leases import seconds_until_due

log = logging.getLogger(__name__)

CHANNEL = "iotda_admin_work"
# Both cost microseconds. PostgreSQL's snapshot names all transactions under way.
VERSION_SQL = {
    "sqlite": "PRAGMA data_version",
    "postgresql": "SELECT pg_current_snapshot()::text",
}
# SQLite's version is read this often.
POLL_SECONDS = 0.1
# A worker looks for work this often although no row has changed and no chunk is due.
IDLE_SECONDS = 10.0
# Between two attempts to listen: doubled from the first to the second.
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 30.0


def notify_workers() -> None:
    """Wake all workers once the current transaction is committed.

    On SQLite the commit itself changes the counter that workers read.
    """
    if settings.CELERY_BROKER_URL:
        transaction.on_commit(import_string(f"{__package__}.celery_app.notify_celery"))
    elif connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")
    else:
        transaction.on_commit(wake_one_worker)


def wake_up_pipe() -> Path:
    """Return the named pipe through which an idle worker on SQLite is woken at once."""
    return Path(settings.DATA_DIR) / "wake-up"


def wake_one_worker() -> None:
    # The others, and a worker of another user, see the commit soon.
    with suppress(OSError):
        pipe = os.open(wake_up_pipe(), os.O_WRONLY | os.O_NONBLOCK)
        try:
            if stat.S_ISFIFO(os.fstat(pipe).st_mode):
                os.write(pipe, b".")
        finally:
            os.close(pipe)


def open_wake_up_pipe() -> int | None:
    """Return the reading end; None if there can be no pipe, or another file is there."""
    pipe = wake_up_pipe()
    try:
        with suppress(FileExistsError):
            os.mkfifo(pipe, 0o600)
        if not pipe.is_fifo():
            raise FileExistsError(f"{pipe} is no named pipe.")
        # Also for writing: a pipe without writers would always be readable.
        return os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        log.info("Looking for work every %s s: %s", POLL_SECONDS, error)
        return None


def database_version() -> object:
    """A value that changes when another connection has committed a change."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        # Not by Django's cursor, which costs more than the statement itself.
        row = connection.connection.execute(VERSION_SQL[connection.vendor]).fetchone()
    return row[0]


class WorkDetector:
    """Tells when to look for work: a row has changed, a chunk is due, or a while is over.

    Each thread needs its own.
    """

    def __init__(self) -> None:
        self.version: object = None
        self.check_at = 0.0

    def may_have_work(self) -> bool:
        return time.monotonic() >= self.check_at or database_version() != self.version

    def found_all(self) -> None:
        """Remember the rows as the caller has found them, a moment ago."""
        # In this order: a chunk that is committed in between is noticed.
        self.version = database_version()
        self.check_at = time.monotonic() + min(seconds_until_due(), IDLE_SECONDS)


class SqliteListener:
    """Wakes at a message through the pipe, and soon after any other commit."""

    def __init__(self) -> None:
        self.seen = database_version()
        self.pipe = open_wake_up_pipe()

    def wait(self, seconds: float) -> None:
        until, before = time.monotonic() + seconds, self.seen
        while self.seen == before and time.monotonic() < until:
            # First: while others write all the time, the caller rests as well.
            self.rest()
            self.seen = database_version()

    def rest(self) -> None:
        if self.pipe is None:
            time.sleep(POLL_SECONDS)
        elif select.select([self.pipe], [], [], POLL_SECONDS)[0]:
            # Another worker, which was woken as well, may have read it.
            with suppress(BlockingIOError):
                os.read(self.pipe, 4096)


class PostgresListener:
    """Wakes at a notification, to a session of its own; without one it only waits."""

    def __init__(self) -> None:
        self.session: psycopg.Connection | None = None
        self.retry_at, self.pause = 0.0, FIRST_RETRY_SECONDS

    def wait(self, seconds: float) -> None:
        try:
            if self.session is None and time.monotonic() >= self.retry_at:
                self.session = self.listen()
                return  # Something may have been committed before it listened.
            if self.session:
                list(self.session.notifies(timeout=seconds, stop_after=1))
                return
        except psycopg.Error as error:
            log.warning("Cannot listen for work, checking every second: %s", error)
            self.session = None
            self.retry_at = time.monotonic() + self.pause
            self.pause = min(2 * self.pause, LAST_RETRY_SECONDS)
        time.sleep(seconds)

    def listen(self) -> psycopg.Connection:
        parameters = connection.get_connection_params()
        own = {"autocommit": True, "connect_timeout": 5, "keepalives_idle": 30}
        session = psycopg.connect(**parameters | own)
        session.execute(f"LISTEN {CHANNEL}")
        self.pause = FIRST_RETRY_SECONDS
        return session


def make_listener() -> SqliteListener | PostgresListener:
    """Return an object whose `wait` returns at a wake-up, or after so many seconds."""
    return PostgresListener() if connection.vendor == "postgresql" else SqliteListener()
