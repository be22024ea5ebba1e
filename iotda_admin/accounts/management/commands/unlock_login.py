from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from iotda_admin.accounts import current_request, login_throttle


class Command(BaseCommand):
    help = "Unlocks an account after too many failed logins."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        with transaction.atomic():
            locked = login_throttle.unlock_account(name)
            if locked:
                detail = {
                    "what": "user",
                    "name": name,
                    "changes": {"sign-in": ["locked", "unlocked"]},
                }
                current_request.record_account_event(
                    "account.changed",
                    summary=f"user {name}: sign-in unlocked"[:500],
                    targets=[(name, f"user {name}")],
                    detail=detail,
                )
        unlocked, not_locked = f"{name} is unlocked.", f"{name} has no failed logins."
        self.stdout.write(unlocked if locked else not_locked)
