"""What is read before a policy is bound or unbound, whoever asks for it: a form or the command line."""

from collections.abc import Sequence

from iotda_admin.iotda import Client
from iotda_admin.operations.services import TargetSpec
from policies import picker
from policies.models import Policy
from policies.sync import refresh_bindings
from policies.verbs import standing


def wanted(
    client: Client, verb: str, policy: Policy, target_type: str, ids: Sequence[str]
) -> list[TargetSpec]:
    """With names and spaces, and whether they already stand as asked by what IoTDA has just said."""
    known = refresh_bindings(
        client, policy.pk, meanwhile=lambda: picker.names(target_type, ids)
    )
    so = standing(policy.pk, target_type, ids, bound=verb == "policy.bind")
    return [
        TargetSpec(id, name, id in so, space)
        for id in ids
        for name, space in [known.get(id, ("", ""))]
    ]
