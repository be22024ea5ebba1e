"""What `manage.py freeze` and `unfreeze` share."""

from typing import Any

from devices.targets import wanted
from iotda_admin.operations.cli.command import AskCommand
from iotda_admin.operations.web.forms import TargetsForm


class DeviceCommand(AskCommand):
    def prepared(self, form: TargetsForm, options: dict[str, Any]) -> dict[str, Any]:
        return {"look": wanted}
