"""manage.py audit_verify [--expect HEAD] [--archive FOLDER]: verify the audit trail."""

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from iotda_admin.audit.archive import DamagedArchive, check_archive
from iotda_admin.audit.verify import Verification, verify_trail


def verify_or_stop(expect: str, consequence: str = "") -> Verification:
    """Verify the trail; end the command if the trail or `expect` is wrong."""
    try:
        result = verify_trail(expect)
    except ValueError as error:
        raise CommandError(f"{error}{consequence}", returncode=2) from error
    if result.broken_at is not None:
        raise CommandError(f"Event {result.broken_at} {result.why}.{consequence}")
    return result


class Command(BaseCommand):
    help = "Verify the audit trail and name the first event that was tampered with."

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

    def handle(
        self, *args: Any, expect: str, archive: Path | None, **options: Any
    ) -> None:
        started = time.monotonic()
        result = verify_or_stop(expect)
        rate = (result.events + result.outcomes) / max(time.monotonic() - started, 1e-6)
        rows = f"{result.events:,} events with {result.outcomes:,} outcomes"
        self.stdout.write(f"{rows} verified ({rate:,.0f} rows/s).")
        self.stdout.write(f"Head {result.head}")
        # After the trail, so that the files reach at least to its start.
        if archive:
            try:
                end = check_archive(archive)
            except DamagedArchive as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"{end.seq:,} archived events verified.")
