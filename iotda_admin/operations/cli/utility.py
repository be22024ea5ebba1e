"""manage.py with a command for each registered verb, and `continue`."""

from collections.abc import Sequence

from django.apps import apps
from django.core.management import BaseCommand, ManagementUtility

CONTINUE = "continue"


class Utility(ManagementUtility):
    """Django's utility, whose commands include the verbs and `continue`.

    The imports are inside, because Django sets up the apps after this module is loaded.
    """

    def fetch_command(self, subcommand: str) -> BaseCommand:
        if apps.ready:
            from iotda_admin.operations.cli.command import VerbCommand
            from iotda_admin.operations.cli.continue_command import ContinueCommand
            from iotda_admin.operations.verbs import all_verbs

            if subcommand == CONTINUE:
                return ContinueCommand()
            for verb in all_verbs():
                if verb.command == subcommand:
                    return VerbCommand(verb)
        return super().fetch_command(subcommand)

    def main_help_text(self, commands_only: bool = False) -> str:
        text = super().main_help_text(commands_only)
        if not apps.ready:
            return text
        from iotda_admin.operations.verbs import all_verbs

        names = sorted([*(verb.command for verb in all_verbs()), CONTINUE])
        if commands_only:
            return "\n".join(sorted([*text.splitlines(), *names]))
        return "\n".join([text, "", "[operations]", *(f"    {name}" for name in names)])


def execute_from_command_line(argv: Sequence[str]) -> None:
    Utility(list(argv)).execute()
