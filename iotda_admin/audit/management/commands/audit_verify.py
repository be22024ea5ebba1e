"""manage.py audit_verify [--expect HEAD]: was the trail tampered with?"""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from iotda_admin.audit.verify import verify


class Command(BaseCommand):
    help = "Read the whole audit trail and name the first event that is not as it was written."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--expect",
            default="",
            metavar="HEAD",
            help="a head noted earlier, from the log or the audit page: finds a tail that was cut off",
        )

    def handle(self, *args: Any, expect: str, **options: Any) -> None:
        started = time.monotonic()
        finding = verify(expect)
        if finding.bad is not None:
            raise CommandError(f"Event {finding.bad} {finding.why}.", returncode=1)
        rate = finding.events / max(time.monotonic() - started, 1e-6)
        self.stdout.write(f"{finding.events:,} events as they were written ({rate:,.0f}/s).")
        self.stdout.write(f"Head {finding.head}")
