"""manage.py audit_archive FOLDER --older-than DAYS: move old segments to files."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from iotda_admin.access.actor import system_user
from iotda_admin.audit.archive import (
    SEGMENT_SIZE,
    DamagedArchive,
    archive_segment,
    segments_before,
)
from iotda_admin.audit.management.commands.audit_verify import verify_or_stop


class Command(BaseCommand):
    help = f"Move old events to files, in segments of {SEGMENT_SIZE:,} events."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "folder", type=Path, help="the folder for the files; keep it"
        )
        parser.add_argument(
            "--older-than",
            type=int,
            required=True,
            metavar="DAYS",
            help="minimum age of the events, 1 or more",
        )
        parser.add_argument(
            "--expect", default="", metavar="HEAD", help="as of audit_verify"
        )

    def handle(
        self,
        *args: Any,
        folder: Path,
        older_than: int,
        expect: str = "",
        **options: Any,
    ) -> None:
        if older_than < 1 or not folder.is_dir():
            raise CommandError(
                f"{folder} must be a folder, and DAYS 1 or more. Nothing was moved."
            )
        segments = segments_before(timezone.now() - timedelta(days=older_than))
        if not segments:
            self.stdout.write("No complete segment is that old. Nothing was moved.")
            return
        verify_or_stop(expect, " Nothing was moved.")
        for segment in segments:
            try:
                path = archive_segment(segment, folder, actor_name=system_user())
            except (DamagedArchive, OSError) as error:
                raise CommandError(f"{error} Nothing more was moved.") from error
            self.stdout.write(f"Events {segment.first} to {segment.last}: {path}")
