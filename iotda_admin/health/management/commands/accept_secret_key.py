from typing import Any

from django.core.management.base import BaseCommand

from iotda_admin.health.secret_key import accept_secret_key


class Command(BaseCommand):
    help = "Makes this machine's SECRET_KEY the one that all machines of the site need."

    def handle(self, *args: Any, **options: Any) -> None:
        accept_secret_key()
        self.stdout.write("Web servers with this SECRET_KEY start from now on.")
