"""Replaces a policy of a full target with the one whose bind failed.

Two operations do that: an unbind, and the bind again, which is sent only once the unbind
is done.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from iotda_admin.access.actor import Actor
from iotda_admin.access.scope import AnyUser, can_see_space
from iotda_admin.core.ids import is_id
from iotda_admin.iotda import Client, DevicePolicy, IotdaError, walk
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.services import OperationRejected, submit, submit_pair
from policies.models import POLICIES_PER_TARGET, Binding, Policy
from policies.selection import policy_verb

# No policy is read after this share of the page's time. What a call does not answer in
# the rest is shown by the last sync.
READ_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class BoundPolicy:
    """A policy that a target has.

    row        the policy in the inventory, with its statements
    confirmed  whether IoTDA shows it now; False if it has too many targets to read
    """

    policy_id: str
    name: str
    app_id: str
    row: Policy | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class BoundPolicies:
    """The policies that a target itself has, not those of its product or space.

    visible  those that the user may see
    total    the number of all
    """

    visible: Sequence[BoundPolicy]
    total: int

    @property
    def full(self) -> bool:
        return self.total >= POLICIES_PER_TARGET

    @property
    def hidden(self) -> int:
        return self.total - len(self.visible)

    def find(self, policy_id: str) -> BoundPolicy | None:
        return next((p for p in self.visible if p.policy_id == policy_id), None)


class BindingReader:
    """Reads from IoTDA which policies a target has: each policy must be asked."""

    def __init__(self, client: Client, target: Target) -> None:
        self.client, self.target = client, target
        self.target_type = target.operation.target_type
        bindings = Binding.objects.filter(
            target_type=self.target_type, target_id=target.target_id
        )
        self.known = set(bindings.values_list("policy", flat=True))
        self.until = 0.0

    def read(self, user: AnyUser) -> BoundPolicies:
        """Return the policies of the target. Raise IotdaError if IoTDA does not answer.

        Those that the inventory knows come first: if these are five, that is all.
        """
        self.until = monotonic() + READ_SHARE * settings.IOTDA_DEADLINE
        # IoTDA cannot be asked for a policy whose ID cannot be sent.
        listed = [
            policy
            for policy in walk(self.client.list_device_policies)
            if is_id(policy.policy_id)
        ]
        bound = self.bound([each for each in listed if each.policy_id in self.known])
        if len(bound) < POLICIES_PER_TARGET:
            others = [each for each in listed if each.policy_id not in self.known]
            bound |= self.bound(others)
        rows = Policy.objects.in_bulk(list(bound))
        visible = [
            BoundPolicy(
                each.policy_id,
                each.policy_name or each.policy_id,
                each.app_id,
                rows.get(each.policy_id),
                bound[each.policy_id],
            )
            for each in listed
            if each.policy_id in bound
            and (not each.app_id or can_see_space(user, each.app_id))
        ]
        return BoundPolicies(visible, len(bound))

    def bound(self, policies: Sequence[DevicePolicy]) -> dict[str, bool]:
        """Return the policies that the target has, and whether IoTDA confirmed each."""
        ids, context = [each.policy_id for each in policies], copy_context()

        def has(policy_id: str) -> bool | None:
            # The threads share the time of the page.
            return context.copy().run(self.has, policy_id)

        with ThreadPoolExecutor(POLICIES_PER_TARGET) as pool:
            found = dict(zip(ids, pool.map(has, ids), strict=True))
        return {
            id: has is True
            for id, has in found.items()
            if has or (has is None and id in self.known)
        }

    def has(self, policy_id: str) -> bool | None:
        """Return whether the target has a policy; None if the time is over."""
        left = self.until - monotonic()
        if left <= 0:
            return None
        id = self.target.target_id
        about = bind_preview(self.target, policy_id)
        verb = policy_verb(about)
        try:
            return verb.read_targets(self.client, about, [id], seconds=left).get(id)
        except IotdaError:
            if monotonic() < self.until:
                raise
            return None


def bind_preview(target: Target, policy_id: str) -> OperationRequest:
    return OperationRequest.preview(
        "policy.bind",
        [target.target_id],
        target_type=target.operation.target_type,
        policy_id=policy_id,
    )


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a form requests for a target whose bind failed.

    said       reason, ticket and key, the same for both operations
    policy_id  the policy to unbind; empty if there is room for the other one
    policy     the same as it was read; None for a form that is sent again
    """

    target: Target
    said: Mapping[str, str]
    policy_id: str
    policy: BoundPolicy | None = None

    def send(self, actor: Actor, client: Client) -> Sequence[Operation]:
        """Record and send it. Raise as ``create_operation`` does."""
        if not self.policy_id:
            return [submit(self.bind_request(self.said["key"]), actor, client)]
        # One key for each operation, so that a form sent twice returns the same two.
        key = hashlib.sha256(f"{self.said['key']} bind".encode()).hexdigest()[:32]
        pair = self.unbind_request, self.bind_request(key)
        return submit_pair(*pair, actor, client, self.expect_failure)

    def expect_failure(self) -> None:
        expect_open(Target.objects.get(pk=self.target.pk))

    def bind_request(self, key: str) -> OperationRequest:
        failed = self.target.operation
        about = {"policy_id": failed.policy_id, "policy_name": failed.policy_name}
        return self.request(failed.verb, key=key, retry_of=failed, **about)

    @property
    def unbind_request(self) -> OperationRequest:
        policy = self.policy
        about = (
            {"policy_name": policy.name, "policy_space": policy.app_id}
            if policy
            else {}
        )
        return self.request("policy.unbind", policy_id=self.policy_id, **about)

    def request(self, verb: str, **about: Any) -> OperationRequest:
        target, target_type = self.target, self.target.operation.target_type
        targets = [TargetSpec(target.target_id, target.name)]
        return OperationRequest(
            verb, targets, target_type=target_type, **{**self.said, **about}
        )


def expect_open(target: Target) -> None:
    """Raise OperationRejected if the failure is resolved."""
    if target.resolved_at:
        message = _("This failure is resolved: %(by)s.")
        raise OperationRejected(message % {"by": target.resolved_by})


def expect_bound(bound: BoundPolicies, policy_id: str) -> None:
    """Raise OperationRejected if the policy to unbind is not what the page showed."""
    if policy_id and not bound.full:
        raise OperationRejected(
            _("A policy was unbound meanwhile, so there is room. Check it, then bind.")
        )
    if policy_id and not bound.find(policy_id):
        raise OperationRejected(
            _("The policy that you chose is no longer bound. Choose another one.")
        )
