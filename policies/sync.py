"""Syncs policies and their bindings."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from operator import attrgetter

from django.db.models import Model
from django.utils import timezone

from iotda_admin.inventory.mirror import Mirror, batched_listing
from iotda_admin.iotda import (
    FIRST_PAGE,
    PAGE_LIMIT,
    Client,
    DevicePolicy,
    IotdaError,
    walk,
)
from iotda_admin.rate.retries import retrying
from policies.models import Binding, Policy

# Up to here, what a policy is bound to is read again before a change of it: at most four calls.
REREAD_LIMIT = 4 * PAGE_LIMIT


class Policies(Mirror):
    order = 4
    model = Policy
    key = ["policy_id"]
    fields = ["name", "app_id", "statements", "create_time", "update_time"]

    def pages(self, client: Client) -> Iterator[list[Model]]:
        # The list leaves the statements out, so each policy is read by itself: there are at most 50.
        show = retrying(client.show_device_policy)
        for page in batched_listing(
            client.list_device_policies, attrgetter("policy_id")
        ):
            rows: list[Model] = []
            for policy in page:
                # Deleted since it was listed: it is just not there any more.
                with unless_gone():
                    rows.append(policy_row(show(policy.policy_id)))
            yield rows


class Bindings(Mirror):
    order = 5
    model = Binding
    key = ["policy_id", "target_type", "target_id"]
    fields = []

    def pages(self, client: Client) -> Iterator[list[Model]]:
        for policy in Policy.objects.all():
            targets = partial(client.show_targets_in_device_policy, policy.policy_id)
            # Deleted since the policies were listed: it has no targets any more.
            with unless_gone():
                for page in batched_listing(
                    targets, attrgetter("target_type", "target_id")
                ):
                    yield [
                        Binding(
                            policy=policy,
                            target_type=target.target_type,
                            target_id=target.target_id,
                        )
                        for target in page
                    ]


@contextmanager
def unless_gone() -> Iterator[None]:
    """Suppress the error of a policy that IoTDA does not have."""
    try:
        yield
    except IotdaError as error:
        if not error.not_found:
            raise


def policy_row(policy: DevicePolicy) -> Policy:
    return Policy(
        policy_id=policy.policy_id,
        name=policy.policy_name,
        app_id=policy.app_id,
        statements=[rule.to_json() for rule in policy.statement],
        create_time=policy.create_time,
        update_time=policy.update_time,
        read_at=timezone.now(),
    )


def store_policy(policy: DevicePolicy) -> Policy:
    """Store a policy that was just read."""
    row = policy_row(policy)
    Policies().save([row])
    return row


def refresh_bindings(client: Client, policy_id: str) -> None:
    """Read a policy and its targets again before it is changed, both at once.

    If that fails, the inventory stays as it is: the change itself will meet the same error
    and report it.
    """
    bindings, started = Binding.objects.filter(policy=policy_id), timezone.now()
    few = bindings.count() <= REREAD_LIMIT
    targets = partial(client.show_targets_in_device_policy, policy_id)
    with ThreadPoolExecutor(2) as pool:
        policy = pool.submit(client.show_device_policy, policy_id)
        first = pool.submit(targets) if few else None
    with suppress(IotdaError):
        store_policy(policy.result())
        if first:
            found = walk(
                lambda page: first.result() if page == FIRST_PAGE else targets(page)
            )
            Bindings().save(
                [
                    Binding(
                        policy_id=policy_id,
                        target_type=target.target_type,
                        target_id=target.target_id,
                    )
                    for target in islice(found, REREAD_LIMIT)
                ]
            )
            gone = bindings.filter(read_at__lt=started)
            if next(found, None) is None and gone.exists():
                gone.delete()
