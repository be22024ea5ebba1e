"""manage.py restore FILE: restore a backup into an empty database."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from iotda_admin.audit.management.commands.audit_verify import verify_or_stop
from iotda_admin.maintenance.backup import (
    hold_after_migration,
    hold_restored_work,
    migrations_missing,
    restore,
)
from iotda_admin.maintenance.source import MaintenanceError


class Command(BaseCommand):
    help = (
        "Restores a backup into the empty database of DATABASE_URL, and verifies its "
        "audit trail. It needs pg_restore for PostgreSQL."
    )
    # Some checks open the database, which creates it.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a file of manage.py backup")
        parser.add_argument(
            "--expect", default="", metavar="HEAD", help="as of audit_verify"
        )

    def handle(self, *args: Any, file: Path, expect: str, **options: Any) -> None:
        try:
            restore(file)
        except (MaintenanceError, DatabaseError, OSError) as error:
            raise CommandError(f"{error}\nNothing was restored.") from error
        self.stdout.write(f"{file} was restored.")
        if migrations_missing():
            hold_after_migration()
            self.stdout.write(
                "It is of an older version: run manage.py migrate, then audit_verify."
            )
            return
        trail = verify_or_stop(expect, " Do not use this database.")
        self.stdout.write(
            f"{trail.events:,} audit events with {trail.outcomes:,} outcomes verified. "
            f"Head {trail.head}"
        )
        if held := hold_restored_work(file, trail.head):
            self.stdout.write(
                f"Held, because it was open in the backup: {', '.join(held)}. Their "
                "pages ask whether to continue or cancel."
            )
