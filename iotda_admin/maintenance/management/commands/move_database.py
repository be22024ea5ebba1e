"""manage.py move_database FILE: move everything from SQLite to PostgreSQL."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from iotda_admin.maintenance.move import move_database
from iotda_admin.maintenance.source import MaintenanceError


class Command(BaseCommand):
    help = (
        "Moves all tables from a SQLite file to the empty PostgreSQL database of "
        "DATABASE_URL, and compares both. The file is not changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", type=Path, help="the SQLite file, or a backup of it"
        )

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            move = move_database(file)
        except (MaintenanceError, DatabaseError) as error:
            raise CommandError(f"{error}\nNothing was moved.") from error
        for table, rows in move.rows.items():
            self.stdout.write(f"{table:32} {rows:12,}")
        self.stdout.write(
            f"{sum(move.rows.values()):,} rows in {len(move.rows)} tables were moved. "
            "Number and content are equal on both ends.\n"
            f"{move.trail.events:,} audit events with {move.trail.outcomes:,} outcomes "
            f"verified. Head {move.trail.head}, on both ends."
        )
        for table in move.left:
            self.stdout.write(
                f"Not moved, because no app of this version has it: {table}"
            )
        self.stdout.write(
            "Start the web servers and the workers with this DATABASE_URL. Then move "
            f"{file} away, so that no process goes on with it."
        )
