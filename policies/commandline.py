"""What `manage.py bind` and `unbind` share."""

from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from devices.models import Space
from iotda_admin.core.ids import is_id
from iotda_admin.iotda import IotdaError, Rejected
from iotda_admin.operations.cli.command import AskCommand, Refused
from iotda_admin.operations.web.forms import TargetsForm
from iotda_admin.rate.connection import client
from policies.forms import PolicyTargetsForm
from policies.models import Policy, TargetType
from policies.sync import store_policy
from policies.targets import wanted


class PolicyCommand(AskCommand):
    form_class = PolicyTargetsForm
    option_of = {
        **AskCommand.option_of,
        "target_type": "--target-type",
        "space_name": "--confirm-space",
    }

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--policy", required=True, help="its ID, or its exact name")
        parser.add_argument(
            "--target-type",
            choices=TargetType.values,
            default=TargetType.DEVICE,
            help="what the IDs are (%(default)s); app is a whole resource space",
        )
        parser.add_argument(
            "--confirm-space",
            metavar="NAME",
            default="",
            help="the name of the space, for --target-type app",
        )

    def fields(self, options: dict[str, Any]) -> dict[str, list[str]]:
        return {
            **super().fields(options),
            "target_type": [options["target_type"]],
            "space_name": [options["confirm_space"]],
        }

    def prepared(self, form: TargetsForm, options: dict[str, Any]) -> dict[str, Any]:
        policy, target_type = (
            policy_named(options["policy"]),
            form.cleaned_data["target_type"],
        )
        return {
            "look": partial(wanted, client(), self.verb, policy, target_type),
            "target_type": target_type,
            "policy_id": policy.pk,
            "policy_name": policy.name,
        }


def policy_named(text: str) -> Policy:
    """By its id or its exact name. Raises Refused."""
    if policy := Policy.objects.filter(pk=text).first():
        return policy
    found = list(Policy.objects.filter(name=text))
    if len(found) > 1:
        candidates = "\n".join(
            f"  {policy.pk}  in {space_of(policy)}" for policy in found
        )
        raise Refused(
            f"{len(found)} policies have this name. Give the ID of one:\n{candidates}"
        )
    return found[0] if found else policy_at_iotda(text)


def space_of(policy: Policy) -> str:
    space = Space.objects.filter(pk=policy.app_id).first()
    return str(space or policy.app_id or "no resource space")


def policy_at_iotda(text: str) -> Policy:
    """Perhaps it was made since the inventory was read."""
    try:
        if is_id(text):
            return store_policy(client().show_device_policy(text))
    except Rejected:
        pass
    except IotdaError as error:
        raise Refused(
            f"The inventory has no such policy, and IoTDA cannot be asked: {error.message}"
        ) from None
    raise Refused(
        f"No policy has this ID or exactly this name: {text}\n`manage.py sync` reads all again."
    )
