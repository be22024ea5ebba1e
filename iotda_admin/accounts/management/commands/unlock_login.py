from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from iotda_admin.accounts import acting, throttle


class Command(BaseCommand):
    help = (
        "Lets an account sign in again that is locked after too many wrong passwords."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        with transaction.atomic():
            locked = throttle.unlock(name)
            if locked:
                detail = {
                    "what": "user",
                    "name": name,
                    "changes": {"sign-in": ["locked", "unlocked"]},
                }
                acting.record(
                    "account.changed",
                    summary=f"user {name}: sign-in unlocked"[:500],
                    targets=[(name, f"user {name}")],
                    detail=detail,
                )
        said = (
            f"{name} may sign in again."
            if locked
            else f"No wrong password is counted for {name}."
        )
        self.stdout.write(said)
