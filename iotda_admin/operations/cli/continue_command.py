"""The management command that continues a paused operation."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import Error as DatabaseError

from iotda_admin.access.actor import command_line_actor
from iotda_admin.operations.cli.operation_command import (
    HelpFormatter,
    OperationCommand,
    Refused,
)
from iotda_admin.operations.cli.watch import Interruption
from iotda_admin.operations.execution.lifecycle import (
    continue_operation,
    is_being_read,
)
from iotda_admin.operations.models import Operation
from iotda_admin.operations.permissions import authorize

EPILOG = """\
example:
  manage.py continue OP-1042

The operation is sent and followed to its end. The answer after which it had paused does not pause it again.

exit status: that of the command that recorded it, such as manage.py freeze
"""


class ContinueCommand(OperationCommand):
    help = "Continues a paused operation and follows it to its end."

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        return super().create_parser(
            prog_name,
            subcommand,
            epilog=EPILOG,
            formatter_class=HelpFormatter,
            **kwargs,
        )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "operation", metavar="OPERATION", help="its number, such as OP-1042"
        )
        self.add_watch_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        with Interruption() as interruption:
            try:
                operation = continue_paused(options["operation"])
                interruption.patient = True
            except DatabaseError as error:
                raise Refused(f"The database cannot be used: {error}") from error
            status = self.watch(operation, interruption, options)
        raise SystemExit(status)


def continue_paused(text: str) -> Operation:
    """Continue the paused operation with this number. Raise Refused if there is none."""
    number = text.upper().removeprefix("OP-")
    known = number.isascii() and number.isdigit() and len(number) < 19
    operation = Operation.objects.filter(pk=number).first() if known else None
    if operation is None:
        raise Refused(f"There is no operation {text}.")
    actor = command_line_actor()
    decision = authorize(actor.user, operation)
    if not decision.allowed:
        raise Refused(decision.message)
    if not continue_operation(operation, actor):
        operation.refresh_from_db()
        why = (
            "is first read from IoTDA again, which a worker does. Try again then"
            if is_being_read(operation)
            else f"is not paused: {operation.get_state_display()}"
        )
        raise Refused(f"{operation} {why}.")
    return operation
