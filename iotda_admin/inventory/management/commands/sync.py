import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from iotda_admin.inventory import sync
from iotda_admin.inventory.models import SyncRun
from iotda_admin.rate.connection import client


class Command(BaseCommand):
    help = "Reads resource spaces, products, devices, policies and bindings from IoTDA into the inventory."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--if-due",
            action="store_true",
            help="only if the last reading has grown old",
        )
        parser.add_argument(
            "--take-over",
            action="store_true",
            help="give up a reading that another process has begun",
        )

    def handle(self, *args: Any, if_due: bool, take_over: bool, **options: Any) -> None:
        sync.give_up_silent(0 if take_over else sync.SILENCE_SECONDS)
        if if_due and not sync.is_due():
            self.stdout.write("The inventory is fresh.")
            return
        started = time.monotonic()
        run = SyncRun.objects.create()
        if not sync.perform(run, client()):
            raise CommandError(run.error or "Another reading is under way.")
        self.stdout.write(
            f"{run.rows} rows read in {time.monotonic() - started:.1f} s."
        )
