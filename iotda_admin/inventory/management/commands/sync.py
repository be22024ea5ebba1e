import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from iotda_admin.inventory import sync
from iotda_admin.inventory.models import SyncRun
from iotda_admin.rate.connection import client


class Command(BaseCommand):
    help = "Syncs the inventory (resource spaces, products, devices, policies, bindings) with IoTDA."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--if-due",
            action="store_true",
            help="only if the last sync is older than INVENTORY_REFRESH",
        )
        parser.add_argument(
            "--take-over",
            action="store_true",
            help="mark a running sync of another process as failed first",
        )

    def handle(self, *args: Any, if_due: bool, take_over: bool, **options: Any) -> None:
        sync.fail_silent_runs(0 if take_over else sync.SILENCE_SECONDS)
        if if_due and sync.seconds_until_sync():
            self.stdout.write("The inventory is up to date.")
            return
        started = time.monotonic()
        run = SyncRun.objects.create()
        if not sync.run_sync(run, client()):
            raise CommandError(run.error or "Another sync is running.")
        self.stdout.write(
            f"{run.rows} rows synced in {time.monotonic() - started:.1f} s."
        )
