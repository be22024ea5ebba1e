"""How policies and what they are bound to are read into our tables."""

from collections.abc import Iterator
from functools import partial
from operator import attrgetter

from django.db.models import Model
from django.utils import timezone

from iotda_admin.inventory.mirror import Mirror, listing, patient
from iotda_admin.iotda import Client, Rejected
from iotda_admin.iotda import DevicePolicy as PlatformPolicy
from policies.models import Binding, Policy


class Policies(Mirror):
    model = Policy
    key = ["policy_id"]
    fields = ["name", "app_id", "statements", "create_time", "update_time"]

    def pages(self, client: Client) -> Iterator[list[Model]]:
        # The list leaves the statements out, so each policy is read by itself: there are at most 50.
        show = patient(client.show_device_policy)
        for page in listing(client.list_device_policies, attrgetter("policy_id")):
            yield [mirrored(show(policy.policy_id)) for policy in page]


class Bindings(Mirror):
    model = Binding
    key = ["policy_id", "target_type", "target_id"]
    fields = []

    def pages(self, client: Client) -> Iterator[list[Model]]:
        for policy in Policy.objects.all():
            targets = partial(client.show_targets_in_device_policy, policy.policy_id)
            try:
                for page in listing(targets, attrgetter("target_type", "target_id")):
                    yield [
                        Binding(policy=policy, target_type=target.target_type, target_id=target.target_id)
                        for target in page
                    ]
            except Rejected as error:
                # Deleted since the policies were listed: it has no targets any more.
                if error.status != 404:
                    raise


def mirrored(policy: PlatformPolicy) -> Policy:
    return Policy(
        policy_id=policy.policy_id,
        name=policy.policy_name,
        app_id=policy.app_id,
        statements=[
            {"effect": s.effect, "actions": list(s.actions), "resources": list(s.resources)}
            for s in policy.statement
        ],
        create_time=policy.create_time,
        update_time=policy.update_time,
        read_at=timezone.now(),
    )


def remember(policy: PlatformPolicy) -> Policy:
    """What was just read of one policy goes into the inventory as well."""
    row = mirrored(policy)
    Policies().save([row])
    return row
