from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from iotda_admin.access.actor import system_user
from iotda_admin.audit.record import record_event
from iotda_admin.inventory.diagnosis import configured, explain
from iotda_admin.iotda import IotdaError, PageQuery
from iotda_admin.rate.connection import client


class Command(BaseCommand):
    help = "Tries the configured connection to IoTDA, read-only, and says in plain words what is wrong."

    def handle(self, *args: Any, **options: Any) -> None:
        connection = configured()
        how = {"aksk": "AK/SK", "password": "IAM password", "token": "token"}[
            connection.auth
        ]
        if connection.auth == "aksk":
            how += (
                " with the derived signature"
                if connection.derived
                else " with the ordinary signature"
            )
        self.stdout.write(
            f"{settings.IOTDA_ENDPOINT}, project {settings.IOTDA_PROJECT_ID}, {how}"
        )
        iotda, one = client(), PageQuery(limit=1)
        tries = {
            "resource spaces": iotda.show_applications,
            "products": lambda: iotda.list_products(one),
            "devices": lambda: iotda.list_devices(one),
            "policies": lambda: iotda.list_device_policies(one),
        }
        failed = []
        for what, call in tries.items():
            error = self.try_one(what, call)
            if error is not None:
                failed.append(what)
                # Only a missing permission is a matter of one call; anything else meets them all.
                if error.status != 403 or error.code == "IOTDA.000021":
                    break
        self.record(failed)
        if failed:
            raise CommandError(
                f"IoTDA cannot be used as configured: cannot read {', '.join(failed)}."
            )
        self.stdout.write(
            "All can be read. Freezing and binding need permissions that only a try can show."
        )

    def record(self, failed: list[str]) -> None:
        """Who checked which settings, and what came of it. A check before the first migrate is none yet."""
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

    def try_one(self, what: str, call: Any) -> IotdaError | None:
        try:
            answer = call()
        except IotdaError as error:
            code = f" {error.code}" if error.code else ""
            request = f" (request {error.request_id})" if error.request_id else ""
            self.stdout.write(f"  {what}: HTTP {error.status or 'none'}{code}{request}")
            self.stdout.write(f"    {explain(error, configured())}")
            return error
        count = (
            answer.count
            if hasattr(answer, "count") and isinstance(answer.count, int)
            else len(answer)
        )
        self.stdout.write(f"  {what}: {count}")
        return None
