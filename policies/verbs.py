"""Bind and unbind: how IoTDA is asked, and how the result is read back."""

import logging
from argparse import ArgumentParser
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import inf
from time import monotonic
from typing import Any, ClassVar, cast

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.models import Space
from iotda_admin.access.scope import AnyUser
from iotda_admin.core.ids import Lookup
from iotda_admin.inventory.mirror import Change
from iotda_admin.iotda import (
    BIND_LIMIT,
    BindResult,
    Client,
    IotdaError,
    PolicyTargetType,
    Rejected,
    walk,
)
from iotda_admin.operations.error_codes import CODES
from iotda_admin.operations.models import Operation
from iotda_admin.operations.requests import OperationRequest, TargetSpec, target_specs
from iotda_admin.operations.verbs import (
    OtherSpace,
    State,
    TargetOutcome,
    Verb,
    VerbAnswer,
    VerbInventory,
    VerbPermission,
    VerbRequest,
)
from iotda_admin.operations.web.forms import TargetsForm
from policies.cli import PolicyOptions
from policies.forms import BindForm, PolicyForm, device_lookup
from policies.models import Binding, Policy, TargetType, binding_subject
from policies.sync import Bindings, refresh_bindings
from policies.targets import bindings_of, devices_of, known_targets, other_space

log = logging.getLogger(__name__)

# How long the targets of a policy, which may be very many, are listed for one refusal.
LISTING_SECONDS = 10.0
UPSERT_BINDING = """
    INSERT INTO policies_binding (policy_id, target_type, target_id, read_at)
    VALUES (%s, %s, %s, %s)
    ON CONFLICT (policy_id, target_type, target_id)
    DO UPDATE SET read_at = excluded.read_at
"""
bind_permission = partial(
    VerbPermission, roles=("policy admin", "admin"), model="binding"
)
BIND_PERMISSION = bind_permission(
    "policies.bind_policy", _("Can bind and unbind policies")
)
BIND_SPACE_PERMISSION = bind_permission(
    "policies.bind_space", _("Can bind and unbind policies on a whole resource space")
)


class BindingInventory(VerbInventory):
    """What the inventory knows of the targets of a policy."""

    def __init__(self, *, bound: bool) -> None:
        self.bound = bound

    def rows(self, target_type: str, ids: Sequence[str]) -> QuerySet[Any]:
        return known_targets(target_type, ids)

    def devices_reached(self, target_type: str, ids: Sequence[str]) -> int | None:
        reached = devices_of(target_type, ids)
        return None if reached is None else reached.count()

    def lookup(self, target_type: str, user: AnyUser | None) -> Lookup | None:
        return device_lookup(target_type, user)

    def other_spaces(self, about: Operation | OperationRequest) -> set[str]:
        """Return the policy's space, unless it is a policy of the whole instance."""
        if not about.policy_id:
            return set()
        if isinstance(about, OperationRequest) and about.policy_space is not None:
            return {about.policy_space} - {""}
        policy = Policy.objects.filter(pk=about.policy_id).first()
        return {policy.app_id} - {""} if policy else {""}

    def standing(
        self,
        ids: Sequence[str],
        about: Operation | OperationRequest,
        before: datetime | None = None,
    ) -> Mapping[str, bool]:
        if before:
            return {}
        have = set(bindings_of(about, ids).values_list("target_id", flat=True))
        return {id: (id in have) == self.bound for id in ids}

    def apply(
        self, operation: Operation, ids: Sequence[str], already: Sequence[str]
    ) -> None:
        # In a fixed order: two transactions must not wait for each other.
        keys = [(operation.policy_id, operation.target_type, id) for id in sorted(ids)]
        now = timezone.now()
        if already:
            changes = self.changes_outside(operation, already)
            Bindings().record_changes(changes, operation, now)
        if self.bound:
            # Not bulk_create: its objects would cost more than all other writes of a bind.
            with connection.cursor() as cursor:
                cursor.executemany(UPSERT_BINDING, [(*key, now) for key in keys])
        else:
            Bindings().remove(keys)

    def changes_outside(
        self, operation: Operation, already: Sequence[str]
    ) -> list[Change]:
        """Return what the inventory did not know of targets that already were so."""
        stored = {row.target_id: row for row in bindings_of(operation, already)}
        if not self.bound:
            return [Change(None, row) for row in stored.values()]
        about = {
            "policy_id": operation.policy_id,
            "target_type": operation.target_type,
        }
        new = [Binding(target_id=id, **about) for id in already if id not in stored]
        return [Change(row, None) for row in new]


class PolicyVerb(PolicyOptions, Verb):
    """IoTDA takes up to 20 targets a call and answers for each of them.

    Known limit: no target is read before. A device that moved to another resource space
    since the last sync gets or loses the policy with the others.
    """

    permissions = (BIND_PERMISSION, BIND_SPACE_PERMISSION)
    target_types = tuple(TargetType.values)
    chunk_size = BIND_LIMIT
    example_options = "--policy quarantine "
    form_class = PolicyForm
    inventory: BindingInventory
    # Whether the targets are to have the policy.
    bound: ClassVar[bool]

    def permission_for(self, target_type: str) -> str:
        return self.permissions[target_type == TargetType.SPACE].label

    def subject(self, about: Operation | OperationRequest, target_id: str) -> str:
        return binding_subject(about.policy_id, about.target_type, target_id)

    def one_at_a_time(self, about: Operation | OperationRequest) -> bool:
        return about.target_type == TargetType.SPACE

    def confirmation(
        self, about: Operation | OperationRequest, ids: Sequence[str]
    ) -> str:
        if about.target_type != TargetType.SPACE:
            return ""
        return str(Space.objects.filter(pk=ids[0]).first() or ids[0])

    def request_from(self, form: TargetsForm) -> OperationRequest:
        policy = form.cleaned_data["policy"]
        return form.request_for(
            self,
            form.targets(),
            form.cleaned_data["target_type"],
            policy_id=policy.pk,
            policy_name=policy.name,
            policy_space=policy.app_id,
        )

    def resolve(self, client: Client, request: OperationRequest) -> OperationRequest:
        standing = self.standing_now(client, request, request.ids)
        rows = known_targets(request.target_type, request.ids)
        targets = target_specs(rows, request.ids)
        if not self.bound:
            # A target that the inventory does not know may be mistyped.
            unknown = {target.id for target in targets if not target.space}
            standing = {
                id: s for id, s in standing.items() if not (s and id in unknown)
            }
        targets = [
            TargetSpec(id, name, standing.get(id), space)
            for id, name, _unknown, space in targets
        ]
        return replace(request, targets=targets)

    def standing_now(
        self, client: Client, about: Operation | OperationRequest, ids: Sequence[str]
    ) -> Mapping[str, bool]:
        refresh_bindings(client, about.policy_id)
        return self.inventory.standing(ids, about)

    def send(self, client: Client, request: VerbRequest) -> VerbAnswer:
        operation, ids = request.operation, request.ids
        try:
            answer = self.call(client, request)
        except Rejected as error:
            # One of several targets may be the cause: they are sent again one by one.
            if len(ids) == 1 or error.status == 404:
                self.confirm_refusal(client, request, error, already=False)
            raise
        found = answer.outcomes(ids)
        if found.anomalies:
            anomalies = "; ".join(found.anomalies)
            log.warning("%s, request %s: %s", operation, answer.request_id, anomalies)
        outcomes = {
            id: TargetOutcome(State(each.state), each.error_code, each.error_msg)
            for id, each in found.by_id.items()
        }
        outcomes |= self.find_already(client, request, outcomes)
        return VerbAnswer(outcomes, answer.status, answer.request_id)

    def call(self, client: Client, request: VerbRequest) -> BindResult:
        call = client.bind_device_policy if self.bound else client.unbind_device_policy
        target_type = cast(PolicyTargetType, request.operation.target_type)
        return call(request.operation.policy_id, target_type, request.ids)

    def agrees_with(
        self, client: Client, request: VerbRequest, error: Rejected, *, already: bool
    ) -> bool:
        if error.status == 404:
            return self.is_gone(client, request.operation.policy_id)
        # A policy with very many targets tells nothing in time: they are read back later.
        standing = self.read_twice(
            client, request.operation, request.ids, seconds=LISTING_SECONDS
        )
        return all(standing.get(id) == already for id in request.ids)

    def is_gone(self, client: Client, policy_id: str) -> bool:
        try:
            client.show_device_policy(policy_id)
        except Rejected as error:
            return error.status == 404
        return False

    def find_already(
        self,
        client: Client,
        request: VerbRequest,
        outcomes: Mapping[str, TargetOutcome],
    ) -> dict[str, TargetOutcome]:
        """Return the refused targets that already are as requested.

        How IoTDA answers for them is not documented (assumed: success or any failure code).
        If a refusal may mean that, IoTDA is asked for the targets of the policy.
        """
        doubtful = {
            id: outcome
            for id, outcome in outcomes.items()
            if outcome.state == State.FAILED
            and (outcome.code not in CODES or request.stood_before.get(id))
            and (self.bound or request.stood_before.get(id) is not None)
        }
        if not doubtful:
            return {}
        with suppress(IotdaError):
            standing = self.read_twice(
                client, request.operation, doubtful, seconds=LISTING_SECONDS
            )
            return {
                id: replace(outcome, state=State.ALREADY)
                for id, outcome in doubtful.items()
                if standing.get(id)
            }
        return {}

    def read_back(self, client: Client, request: VerbRequest) -> Mapping[str, bool]:
        return self.read_twice(
            client, request.operation, request.ids, heartbeat=request.heartbeat
        )

    def read_twice(self, *args: Any, **options: Any) -> Mapping[str, bool]:
        """Return what two listings of the targets agree on: neither names the policy."""
        first, second = (self.read_targets(*args, **options) for _ in range(2))
        return {id: now for id, now in first.items() if second.get(id) == now}

    def read_targets(
        self,
        client: Client,
        operation: Operation | OperationRequest,
        ids: Collection[str],
        *,
        seconds: float = inf,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> Mapping[str, bool]:
        """Read which targets are as requested; after ``seconds``, of those found so far."""
        missing, until = set(ids), monotonic() + seconds
        list_targets = partial(
            client.show_targets_in_device_policy,
            operation.policy_id,
            target_type=cast(PolicyTargetType, operation.target_type),
        )
        try:
            for target in walk(list_targets):
                missing.discard(target.target_id)
                heartbeat()
                if not missing:
                    break
                if monotonic() > until:
                    return dict.fromkeys(set(ids) - missing, self.bound)
        except IotdaError as error:
            # A policy that is gone is bound to nothing.
            if not error.not_found:
                raise
        return {id: (id not in missing) == self.bound for id in ids}

    def stops(self, error: IotdaError) -> bool:
        # A 404 is about the policy, which the address names, not about a target.
        return super().stops(error) or error.status == 404


class Bind(PolicyVerb):
    name = "policy.bind"
    inverse = "policy.unbind"
    bound = True
    form_class = BindForm
    inventory = BindingInventory(bound=True)

    title = _("Bind")
    past = "bound"
    icon = "bind"
    summary = "Binds a device policy to devices, products or a whole resource space."
    bulk_url = "policies:bind_selection"
    bulk_label = _("Bind a policy")

    def in_other_space(
        self, about: Operation | OperationRequest, ids: Sequence[str]
    ) -> Sequence[OtherSpace]:
        policy = Policy.objects.filter(pk=about.policy_id).first()
        return other_space(policy, about.target_type, ids)

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--other-space",
            action="store_true",
            help="also bind targets of other resource spaces than the policy's, which"
            " IoTDA probably refuses",
        )

    def form_from_options(self, options: Mapping[str, Any]) -> dict[str, list[str]]:
        confirmed = ["on"] if options["other_space"] else []
        return super().form_from_options(options) | {"other_space": confirmed}


class Unbind(PolicyVerb):
    name = "policy.unbind"
    inverse = "policy.bind"
    bound = False
    inventory = BindingInventory(bound=False)

    title = _("Unbind")
    past = "unbound"
    icon = "unbind"
    danger = True
    summary = (
        "Unbinds a device policy from devices, products or a whole resource space."
    )
