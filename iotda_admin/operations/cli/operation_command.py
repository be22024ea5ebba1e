"""What the commands about operations share: they follow one and print its outcome."""

import json
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.db import Error as DatabaseError

from iotda_admin.operations.cli.report import as_document, as_lines, printable
from iotda_admin.operations.cli.watch import Bar, Interruption, Watch, follow
from iotda_admin.operations.counts import overall_outcome
from iotda_admin.operations.execution.wakeups import notify_workers
from iotda_admin.operations.models import Operation
from iotda_admin.operations.verbs import get_verb
from iotda_admin.rate.connection import client

WAIT_SECONDS = 600


class Refused(CommandError):
    """Nothing was recorded. Django prints the name of the class before the text."""

    def __init__(self, text: object) -> None:
        super().__init__(printable(str(text)), returncode=2)


class HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the line breaks of the examples."""


class OperationCommand(BaseCommand):
    """A command that sends an operation and follows it to its end."""

    # Django's own options work, but would fill half of the help.
    suppressed_base_arguments = {
        *("--version", "--verbosity", "--settings", "--pythonpath"),
        *("--traceback", "--no-color", "--force-color"),
    }
    requires_system_checks = []

    def add_watch_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--wait",
            type=seconds,
            default=WAIT_SECONDS,
            metavar="SECONDS",
            help="stop waiting after so long without progress (%(default)s);"
            " 0: record it, leave it to the worker, exit status 0",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="print one JSON document instead of text",
        )

    def watch(
        self, operation: Operation, interruption: Interruption, options: dict[str, Any]
    ) -> int:
        """Follow the operation, print its outcome, and return the exit status."""
        try:
            self.follow(operation, interruption, options["wait"])
            return self.report(operation, interruption, options)
        except DatabaseError as error:
            raise CommandError(
                f"{operation} was recorded. Then the database failed: {error}"
            ) from error

    def follow(
        self, operation: Operation, interruption: Interruption, patience: float
    ) -> None:
        if not patience:
            notify_workers()
            return
        bar = Bar(self.stderr)
        try:
            follow(
                Watch(operation, patience, bar.show, interruption.happened), client()
            )
        except KeyboardInterrupt:
            # Interrupted twice. Calls under way have a lease: the worker reads them back.
            pass
        finally:
            bar.close()

    def report(
        self, operation: Operation, interruption: Interruption, options: dict[str, Any]
    ) -> int:
        """Print the outcome and return the exit status."""
        operation.refresh_from_db()
        if options["json"]:
            lines = [json.dumps(as_document(operation))]
        else:
            lines = [
                printable(line)
                for line in as_lines(operation, get_verb(operation.verb).past)
            ]
        self.stdout.write("\n".join(lines))
        if operation.paused:
            self.stderr.write(
                f"{operation} is paused. Nothing more is sent until a user continues it, also by"
                f" manage.py continue {operation},"
                f"\nor cancels it on its page: {operation.get_absolute_url()}",
                str,
            )
            return interruption.status or 1
        if operation.finished_at is None:
            self.stderr.write(
                f"{operation} goes on without this command, as long as a worker runs (manage.py worker)."
                f"\nFollow it on its page: {operation.get_absolute_url()}",
                str,
            )
            return interruption.status or (1 if options["wait"] else 0)
        return 0 if overall_outcome(operation).good else 1


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"must be a number of seconds, not {text!r}")
    return value
