"""manage.py audit_verify [--expect HEAD] [--archive FOLDER]: was the trail tampered with?"""

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from iotda_admin.audit.archive import DamagedArchive, check_archive
from iotda_admin.audit.verify import verify_trail


class Command(BaseCommand):
    help = "Read the whole audit trail and name the first event that is not as it was written."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--expect",
            default="",
            metavar="HEAD",
            help="a head noted earlier, from the log or the audit page: finds a tail that was cut off",
        )

        parser.add_argument(
            "--archive",
            type=Path,
            metavar="FOLDER",
            help="check the files of the archived part as well",
        )

    def handle(
        self, *args: Any, expect: str, archive: Path | None, **options: Any
    ) -> None:
        started = time.monotonic()
        try:
            finding = verify_trail(expect)
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from error
        if finding.bad is not None:
            raise CommandError(f"Event {finding.bad} {finding.why}.", returncode=1)
        rate = (finding.events + finding.outcomes) / max(
            time.monotonic() - started, 1e-6
        )
        said = f"{finding.events:,} events with {finding.outcomes:,} outcomes"
        self.stdout.write(f"{said} as they were written ({rate:,.0f} rows/s).")
        self.stdout.write(f"Head {finding.head}")
        # Afterwards: so they go on at least to where the trail began.
        if archive:
            self.check_archive(archive)

    def check_archive(self, folder: Path) -> None:
        try:
            end = check_archive(folder)
        except DamagedArchive as error:
            raise CommandError(str(error), returncode=1) from error
        self.stdout.write(f"{end.seq:,} archived events as they were written.")
