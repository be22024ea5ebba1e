from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from iotda_admin.accounts import throttle


class Command(BaseCommand):
    help = "Lets an account sign in again that is locked after too many wrong passwords."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        locked = throttle.unlock(name)
        said = f"{name} may sign in again." if locked else f"No wrong password is counted for {name}."
        self.stdout.write(said)
