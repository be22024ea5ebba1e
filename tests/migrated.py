"""A migrated database for processes of their own; migrations take two seconds each time."""

import os
import shutil
from pathlib import Path

from django.core.management import call_command
from django.db import connection

# Where the fixture `home` lets the processes of a test run keep the first one.
KEPT = "MIGRATED_DATABASE"


def migrate() -> None:
    """Create the tables. A new SQLite database gets those of the first of this test run."""
    if KEPT not in os.environ or connection.vendor != "sqlite":
        call_command("migrate", verbosity=0)
        return
    kept = Path(os.environ[KEPT])
    if kept.exists():
        connection.close()
        shutil.copy(kept, connection.settings_dict["NAME"])
        return
    call_command("migrate", verbosity=0)
    new = kept.with_suffix(f".{os.getpid()}")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(new)])
    # Another process may do the same.
    new.replace(kept)
