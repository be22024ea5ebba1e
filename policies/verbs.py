"""Bind and unbind: how IoTDA is asked, and how one sees whether it took effect."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic
from typing import Any, ClassVar, cast

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.models import Space
from iotda_admin.core.bulk_sql import values_subquery
from iotda_admin.iotda import BIND_LIMIT, BindAnswer, Client, IotdaError, Rejected, walk
from iotda_admin.iotda import TargetType as PlatformTargetType
from iotda_admin.iotda import Verdict as TargetVerdict
from iotda_admin.operations.error_codes import CODES
from iotda_admin.operations.models import Operation
from iotda_admin.operations.verbs import (
    State,
    TargetOutcome,
    Verb,
    VerbAnswer,
    VerbRequest,
)
from policies.models import Binding, Policy, TargetType
from policies.picker import known_among
from policies.sync import refresh_bindings

log = logging.getLogger(__name__)

BOUND = """
    INSERT INTO policies_binding (policy_id, target_type, target_id, read_at) VALUES (%s, %s, %s, %s)
    ON CONFLICT (policy_id, target_type, target_id) DO UPDATE SET read_at = excluded.read_at
"""

type Call = Callable[[str, PlatformTargetType, Sequence[str]], BindAnswer]


class PolicyOnTargets(Verb):
    """The platform takes up to 20 targets a call and answers for each of them.

    Known: no target is read before. A device that was moved to another resource space since the inventory was
    read gets or loses the policy with the others.
    """

    chunk_size = BIND_LIMIT
    # Whether the targets shall have the policy afterwards.
    bound: ClassVar[bool]

    def permission(self, target_type: str) -> str:
        return (
            "policies.bind_space"
            if target_type == TargetType.SPACE
            else "policies.bind_policy"
        )

    def subject(self, operation: Operation, target_id: str) -> str:
        return f"{operation.policy_id} on {operation.target_type} {target_id}"

    def in_inventory(self, target_type: str, ids: Sequence[str]) -> QuerySet[Any]:
        return known_among(target_type, ids)

    def other_spaces(self, operation: Operation) -> set[str]:
        """The policy's own, if it is not one of the whole instance."""
        known = list(
            Policy.objects.filter(pk=operation.policy_id).values_list(
                "app_id", flat=True
            )
        )
        return {app_id for app_id in known if app_id} if known else {""}

    def stood_before(
        self, client: Client, about: Operation, ids: Sequence[str]
    ) -> Mapping[str, bool]:
        refresh_bindings(client, about.policy_id, meanwhile=lambda: None)
        so = standing(about.policy_id, about.target_type, ids, bound=self.bound)
        return {id: id in so for id in ids}

    def inventory_says(
        self, ids: Sequence[str], about: Operation | None = None
    ) -> Mapping[str, bool]:
        if about is None:
            return {}
        so = standing(about.policy_id, about.target_type, ids, bound=self.bound)
        return {id: id in so for id in ids}

    def to_type(self, about: Operation, target_id: str) -> str:
        if about.target_type != TargetType.SPACE:
            return ""
        return (
            Space.objects.filter(pk=target_id).values_list("name", flat=True).first()
            or target_id
        )

    def call(self, client: Client) -> Call:
        raise NotImplementedError

    def send(self, client: Client, request: VerbRequest) -> VerbAnswer:
        operation, ids = request.operation, request.ids
        answer = self.call(client)(operation.policy_id, type_of(operation), ids)
        found = answer.verdicts(ids)
        if found.anomalies:
            log.warning(
                "%s, request %s: %s",
                operation,
                answer.request_id,
                "; ".join(found.anomalies),
            )
        verdicts = {id: verdict_of(verdict) for id, verdict in found.by_id.items()}
        verdicts |= self.already(client, request, verdicts)
        return VerbAnswer(verdicts, answer.status, answer.request_id)

    def already(
        self,
        client: Client,
        request: VerbRequest,
        verdicts: Mapping[str, TargetOutcome],
    ) -> dict[str, TargetOutcome]:
        """How IoTDA answers what is already so is not documented (assumed: success or any failure
        code). Where a refusal may mean that, the platform is asked whether the target stands as wanted."""
        failed = {id: v for id, v in verdicts.items() if v.state == State.FAILED}
        doubtful = [
            id
            for id, v in failed.items()
            if v.code not in CODES or request.stood_before.get(id)
        ]
        if not doubtful:
            return {}
        with suppress(IotdaError):
            stands = self.standing_now(
                client, request.operation, doubtful, seconds=settings.IOTDA_DEADLINE
            )
            return {
                id: TargetOutcome(State.ALREADY, failed[id].code, failed[id].message)
                for id in doubtful
                if stands.get(id)
            }
        return {}

    def read_back(self, client: Client, request: VerbRequest) -> Mapping[str, bool]:
        return self.standing_now(
            client, request.operation, request.ids, beat=request.beat
        )

    def standing_now(
        self,
        client: Client,
        operation: Operation,
        ids: Sequence[str],
        *,
        seconds: float = inf,
        beat: Callable[[], None] = lambda: None,
    ) -> Mapping[str, bool]:
        """With seconds, only what could be told in that time: a policy may have very many targets."""
        until = monotonic() + seconds
        missing = set(ids)
        list_targets = partial(
            client.show_targets_in_device_policy,
            operation.policy_id,
            target_type=type_of(operation),
        )
        try:
            for target in walk(list_targets):
                missing.discard(target.target_id)
                beat()
                if not missing:
                    break
                if monotonic() > until:
                    return {id: self.bound for id in ids if id not in missing}
        except Rejected as error:
            # A policy that is gone is bound to nothing; a gateway's 404 says nothing of a policy.
            if error.status != 404 or not error.code.startswith("IOTDA."):
                raise
        return {id: (id not in missing) == self.bound for id in ids}

    def stops(self, error: IotdaError) -> bool:
        # All that an answer to the whole request says of rights or of the policy is true for the rest too.
        return super().stops(error) or error.status in (403, 404)


def verdict_of(verdict: TargetVerdict) -> TargetOutcome:
    return TargetOutcome(State(verdict.outcome), verdict.error_code, verdict.error_msg)


def type_of(operation: Operation) -> PlatformTargetType:
    return cast(PlatformTargetType, operation.target_type)


def standing(
    policy_id: str, target_type: str, ids: Sequence[str], *, bound: bool
) -> set[str]:
    have = set(
        Binding.objects.filter(
            policy=policy_id,
            target_type=target_type,
            target_id__in=values_subquery(ids),
        ).values_list("target_id", flat=True)
    )
    return have if bound else set(ids) - have


class Bind(PolicyOnTargets):
    name = "policy.bind"
    inverse = "policy.unbind"
    title = _("Bind")
    bound = True

    def call(self, client: Client) -> Call:
        return client.bind_device_policy

    def settled(self, operation: Operation, ids: Sequence[str]) -> None:
        # Not bulk_create: its objects would cost more than all else that is written of a bind.
        now = timezone.now()
        rows = [(operation.policy_id, operation.target_type, id, now) for id in ids]
        with connection.cursor() as cursor:
            cursor.executemany(BOUND, rows)


class Unbind(PolicyOnTargets):
    name = "policy.unbind"
    inverse = "policy.bind"
    title = _("Unbind")
    bound = False

    def call(self, client: Client) -> Call:
        return client.unbind_device_policy

    def settled(self, operation: Operation, ids: Sequence[str]) -> None:
        Binding.objects.filter(
            policy=operation.policy_id,
            target_type=operation.target_type,
            target_id__in=ids,
        ).delete()
