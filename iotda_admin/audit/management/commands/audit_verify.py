"""manage.py audit_verify: verify the audit trail, and what pages find its events by."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from iotda_admin.audit.archive import DamagedArchive, check_archive
from iotda_admin.audit.checks.read_only import CannotVerify, sqlite_file
from iotda_admin.audit.verify import Verification, verify_database


def verify_or_stop(expect: str, consequence: str = "") -> Verification:
    """Verify the database; end the command if it or `expect` is wrong."""
    try:
        result, errors = verify_database(expect)
    except (ValueError, OperationalError) as error:
        raise CommandError(f"{error}{consequence}", returncode=2) from error
    if errors:
        raise CommandError("\n".join(errors) + consequence)
    return result


class Command(BaseCommand):
    help = (
        "Verify the audit trail, and that pages and exports find its events: indexes, "
        "schema and filters. Changes no data. The exit status is 0 if all is right, 1 if "
        "something is wrong, and 2 if it could not be verified."
    )
    # Some checks open the database of the settings, which creates it.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--expect",
            default="",
            metavar="HEAD",
            help="a head noted earlier, from the log or the audit page; finds a deleted tail",
        )

        parser.add_argument(
            "--archive",
            type=Path,
            metavar="FOLDER",
            help="verify the archived files in FOLDER too",
        )
        parser.add_argument(
            "--file",
            type=Path,
            metavar="FILE",
            help="verify this SQLite file instead, such as a copy on read-only media",
        )

    def handle(
        self,
        *args: Any,
        expect: str,
        archive: Path | None,
        file: Path | None = None,
        **options: Any,
    ) -> None:
        try:
            with sqlite_file(file) if file else nullcontext():
                self.verify(expect, archive)
        except CannotVerify as error:
            raise CommandError(str(error), returncode=2) from error

    def verify(self, expect: str, archive: Path | None) -> None:
        started = time.monotonic()
        result = verify_or_stop(expect)
        rate = (result.events + result.outcomes) / max(time.monotonic() - started, 1e-6)
        rows = f"{result.events:,} events with {result.outcomes:,} outcomes"
        self.stdout.write(f"{rows} verified ({rate:,.0f} rows/s).")
        self.stdout.write("Indexes, schema and filters verified.")
        self.stdout.write(f"Head {result.head}")
        # After the trail, so that the files reach at least to its start.
        if archive:
            try:
                end = check_archive(archive)
            except DamagedArchive as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"{end.seq:,} archived events verified.")
