"""The management command of a verb: `manage.py freeze`, `unfreeze`, `bind` and so on."""

from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandParser
from django.db import Error as DatabaseError
from django.utils.datastructures import MultiValueDict

from iotda_admin.access.actor import command_line_actor
from iotda_admin.core.free_text import single_line
from iotda_admin.operations.cli.id_source import IdInput, given_ids
from iotda_admin.operations.cli.operation_command import (
    HelpFormatter,
    OperationCommand,
    Refused,
)
from iotda_admin.operations.cli.report import printable
from iotda_admin.operations.cli.watch import Interruption
from iotda_admin.operations.models import Operation
from iotda_admin.operations.services import OperationRejected, create_operation
from iotda_admin.operations.verbs import Verb
from iotda_admin.operations.web.forms import TargetsForm, new_key
from iotda_admin.rate.connection import client

EPILOG = """\
examples:
  manage.py {command} {options}64af01_pump-7 --reason "contract ended" --ticket INC-42
  manage.py {command} {options}--file ids.txt --reason "contract ended" --ticket INC-42
  grep pump ids.txt | manage.py {command} {options}--reason "contract ended" \\
    --ticket INC-42 --json

IDs are arguments, a file, or standard input (with -, or where it is a pipe and nothing else is given).
The operation is recorded under the system user's name, then sent and followed to its end. Ctrl-C ends the
waiting, not the operation: the worker goes on with it, and its page shows how far it is. If several calls in
a row are refused with the same answer, it pauses: continue it with manage.py continue or on its page.

exit status:
  0    all done, or already so
  1    some failed, are unknown or were not sent, or it is paused
  2    refused: nothing was recorded and nothing was sent
  130  interrupted (143: told to end); what was recorded goes on
"""


class VerbCommand(OperationCommand):
    """The management command of one verb, drawn from its class."""

    # The option that fills a field of the form.
    option_of = {
        "reason": "--reason",
        "ticket": "--ticket",
        "policy": "--policy",
        "target_type": "--target-type",
        "space_name": "--confirm-space",
        "other_space": "--other-space",
        "typed": "--confirm",
    }

    def __init__(self, verb: Verb) -> None:
        super().__init__()
        self.verb, self.help = verb, verb.summary

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        command, options = self.verb.command, self.verb.example_options
        epilog = EPILOG.format(command=command, options=options)
        return super().create_parser(
            prog_name,
            subcommand,
            epilog=epilog,
            formatter_class=HelpFormatter,
            **kwargs,
        )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("ids", nargs="*", metavar="ID", help="what to change")
        add(
            "--file",
            metavar="PATH",
            help="read IDs from a file: text, CSV, JSON or an Excel sheet (.xlsx)",
        )
        parser.add_argument(
            "--column",
            metavar="NAME",
            default="",
            help="the heading above the IDs, or the number of their column in a table"
            " without headings; needed where no heading like device_id names it",
        )
        add(
            "--reason",
            required=True,
            type=text_argument,
            help="why; kept in the audit trail",
        )
        add(
            "--ticket",
            required=True,
            type=text_argument,
            help="the ticket it belongs to",
        )
        self.add_watch_options(parser)
        if self.verb.typed:
            add(
                "--confirm",
                metavar="TEXT",
                default="",
                help="the text that the page asks to type: the name, or ID, of one"
                " device, or the number of several",
            )
        self.verb.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        key = new_key()
        with Interruption() as interruption:
            try:
                operation = self.record(key, options)
                interruption.patient = True
            except KeyboardInterrupt:
                operation = self.recorded(key, interruption)
            status = self.watch(operation, interruption, options)
        raise SystemExit(status)

    def record(self, key: str, options: dict[str, Any]) -> Operation:
        """Record the operation. Raise Refused if nothing was recorded."""
        try:
            iotda = client()
            form = self.valid_form(key, self.ids(options), options)
            request = self.verb.resolve(iotda, self.verb.request_from(form))
            return create_operation(request, command_line_actor())
        except (OperationRejected, ImproperlyConfigured) as refusal:
            raise Refused(refusal) from None
        except DatabaseError as error:
            raise Refused(f"The database cannot be used: {error}") from error

    def ids(self, options: dict[str, Any]) -> list[str]:
        kind = options.get("target_type", "device")
        file, column = options["file"], options["column"]
        source = IdInput(options["ids"], file, kind, column)
        given = given_ids(source, self.verb.inventory.lookup(kind, None))
        for (id, name, *_about), match in (
            (match.candidates[0], match) for match in given.resolved.values()
        ):
            line = f"“{match.value}” is the {match.by} of {id} ({name})."
            self.stderr.write(printable(line), str)
        if given.duplicates:
            self.stderr.write(
                f"{given.duplicates} named more than once: each ID counts once.", str
            )
        return given.ids

    def valid_form(
        self, key: str, ids: Sequence[str], options: dict[str, Any]
    ) -> TargetsForm:
        """Return the form that the page would send, by the same rules."""
        data = {
            "key": [key],
            "target": list(ids),
            "reason": [options["reason"]],
            "ticket": [options["ticket"]],
            "typed": [options.get("confirm", "")],
            **self.verb.form_from_options(options),
        }
        form = (self.verb.form_class or TargetsForm)(MultiValueDict(data))
        valid = form.is_valid()
        if valid and self.verb.typed:
            request = self.verb.request_from(form)
            valid = form.confirms(self.verb.confirmation(request, request.ids))
        if not valid:
            lines = [
                f"{self.option_of.get(name, '')}: {error}"
                for name in form.errors
                for error in form.errors[name]
            ]
            raise Refused("\n".join(line.removeprefix(": ") for line in lines))
        return form

    def recorded(self, key: str, interruption: Interruption) -> Operation:
        """Return the operation if the interruption came after its commit; else exit."""
        interruption.patient = True
        if operation := Operation.objects.filter(form_key=key).first():
            return operation
        self.stderr.write(
            "Interrupted: nothing was recorded and nothing was sent.", str
        )
        raise SystemExit(interruption.status)


def text_argument(text: str) -> str:
    if not (line := single_line(text)):
        raise ArgumentTypeError("must not be empty")
    return line
