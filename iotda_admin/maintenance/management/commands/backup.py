"""manage.py backup FILE: back up the database while it is in use."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from iotda_admin.maintenance.backup import back_up
from iotda_admin.maintenance.source import MaintenanceError


class Command(BaseCommand):
    help = (
        "Backs up the database to a new file while all processes go on. It needs "
        "pg_dump for PostgreSQL."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the file to write; must not exist")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            head = back_up(file)
        except (MaintenanceError, DatabaseError, OSError) as error:
            raise CommandError(f"{error}\nThere is no backup.") from error
        self.stdout.write(f"{file}: {file.stat().st_size:,} bytes.\nAudit head {head}")
