from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from iotda_admin.access.actor import system_user
from iotda_admin.audit.record import record_event
from iotda_admin.inventory.connection_errors import authentication, explain_error
from iotda_admin.iotda import IotdaError, PageQuery
from iotda_admin.rate.connection import client

WRONG_PLACE = ("IOTDA.000004", "IOTDA.000021")


class Command(BaseCommand):
    help = "Checks the connection to IoTDA with read-only calls and explains what is wrong."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(
            f"{settings.IOTDA_ENDPOINT}, project {settings.IOTDA_PROJECT_ID}, {authentication()}"
        )
        failed = self.failed_reads()
        self.record(failed)
        if failed:
            raise CommandError(
                f"IoTDA cannot be used as configured: cannot read {', '.join(failed)}."
            )
        self.stdout.write(
            "All can be read. Freezing and binding need further permissions, which "
            "this cannot check."
        )

    def failed_reads(self) -> list[str]:
        iotda, one = client(), PageQuery(limit=1)
        calls: dict[str, Callable[[], int]] = {
            "resource spaces": lambda: len(iotda.show_applications()),
            "products": lambda: iotda.list_products(one).count,
            "devices": lambda: iotda.list_devices(one).count,
            "policies": lambda: iotda.list_device_policies(one).count,
        }
        failed = []
        for name, call in calls.items():
            if error := self.read(name, call):
                failed.append(name)
                # A refusal may concern one call; no connection, wrong credentials and a
                # wrong place concern all of them.
                if error.status != 403 or error.code in WRONG_PLACE:
                    break
        return failed

    def record(self, failed: list[str]) -> None:
        """Audit the check, unless the database has not been migrated yet."""
        with suppress(DatabaseError):
            record_event(
                "settings.checked",
                actor_name=system_user(),
                source="cli",
                summary=f"connection to {settings.IOTDA_ENDPOINT}",
                outcome="failed" if failed else "ok",
                detail={
                    "project": settings.IOTDA_PROJECT_ID,
                    "authentication": settings.IOTDA_AUTH,
                    "cannot_read": failed,
                },
            )

    def read(self, name: str, count: Callable[[], int]) -> IotdaError | None:
        try:
            self.stdout.write(f"  {name}: {count()}")
        except IotdaError as error:
            code = f" {error.code}" if error.code else ""
            request = f" (request {error.request_id})" if error.request_id else ""
            self.stdout.write(f"  {name}: HTTP {error.status or 'none'}{code}{request}")
            self.stdout.write(f"    {explain_error(error)}")
            return error
        return None
