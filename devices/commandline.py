"""What `manage.py freeze` and `unfreeze` share."""

from typing import Any

from devices.asking import wanted
from iotda_admin.operations.cli.commandline import AskCommand
from iotda_admin.operations.forms import TargetsForm


class DeviceCommand(AskCommand):
    def prepared(self, form: TargetsForm, options: dict[str, Any]) -> dict[str, Any]:
        return {"look": wanted}
