"""The options that only the commands of the policy verbs have."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from devices.models import Space
from iotda_admin.core.ids import is_id
from iotda_admin.iotda import IotdaError, Rejected
from iotda_admin.operations.services import OperationRejected
from iotda_admin.rate.connection import client
from policies.models import Policy, TargetType
from policies.sync import read_policy


class PolicyOptions:
    """The options of a policy verb, and the fields of PolicyForm that they fill."""

    def add_arguments(self, parser: ArgumentParser) -> None:
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

    def form_from_options(self, options: Mapping[str, Any]) -> dict[str, list[str]]:
        """Raise OperationRejected for an unknown policy."""
        return {
            "policy": [find_policy(options["policy"]).pk],
            "target_type": [options["target_type"]],
            "space_name": [options["confirm_space"]],
        }


def find_policy(text: str) -> Policy:
    """Return the policy with this ID or exactly this name."""
    if policy := Policy.objects.filter(pk=text).first():
        return policy
    found = list(Policy.objects.filter(name=text))
    if len(found) > 1:
        candidates = "\n".join(f"  {each.pk}  in {space_label(each)}" for each in found)
        raise OperationRejected(
            f"{len(found)} policies have this name. Give the ID of one:\n{candidates}"
        )
    return found[0] if found else read_unknown_policy(text)


def space_label(policy: Policy) -> str:
    space = Space.objects.filter(pk=policy.app_id).first()
    return str(space or policy.app_id or "no resource space")


def read_unknown_policy(text: str) -> Policy:
    """Read a policy from IoTDA: it may be newer than the last sync."""
    try:
        if is_id(text):
            return read_policy(client(), text)
    except Rejected:
        pass
    except IotdaError as error:
        raise OperationRejected(
            f"The inventory has no such policy, and IoTDA cannot be read: {error.message}"
        ) from None
    raise OperationRejected(
        f"No policy has this ID or exactly this name: {text}\n"
        "Refresh the inventory with: manage.py sync"
    )
