from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from iotda_admin.accounts import login_throttle
from iotda_admin.accounts.account_events import record_account_event


class Command(BaseCommand):
    help = "Unlocks an account after too many failed logins."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user name")

    @transaction.atomic
    def handle(self, *args: Any, name: str, **options: Any) -> None:
        if not login_throttle.unlock_account(name):
            self.stdout.write(f"{name} has no failed logins.")
            return
        changes = {"sign-in": ["locked", "unlocked"]}
        record_account_event(
            "account.changed",
            summary=f"user {name}: sign-in unlocked",
            targets=[(name, f"user {name}")],
            detail={"what": "user", "name": name, "changes": changes},
        )
        self.stdout.write(f"{name} is unlocked.")
