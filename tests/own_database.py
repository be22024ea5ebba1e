"""The database of the running test, for other processes and as they use it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.db import connection


def database_url() -> str:
    """Return the URL of the tests' database."""
    at = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{at['NAME']}"
    return f"postgres://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT'] or 5432}/{at['NAME']}"


@contextmanager
def other_writer() -> Iterator[None]:
    """Hold the lock of SQLite's one writer; on PostgreSQL a lock of every table."""
    with closing(connection.copy()) as other, other.cursor() as cursor:
        other.set_autocommit(False)
        if other.vendor == "sqlite":
            cursor.execute("BEGIN IMMEDIATE")
        else:
            tables = ", ".join(other.introspection.table_names(cursor))
            cursor.execute(f"LOCK TABLE {tables} IN EXCLUSIVE MODE")
        yield
        other.rollback()
