"""The database of the running test, for the processes that it starts."""

from django.db import connection


def database_url() -> str:
    """Return the URL of the tests' database."""
    at = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{at['NAME']}"
    return f"postgres://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT'] or 5432}/{at['NAME']}"
