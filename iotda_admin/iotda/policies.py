"""Device policies: which devices may publish and subscribe to which custom topics."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self, get_args

from .arguments import checked, checked_choice, checked_list
from .base import BaseClient
from .binding import BindResult
from .documents import (
    Build,
    FromJson,
    Json,
    Malformed,
    about,
    get_text,
    require_requested,
    text_of,
)
from .listing import FIRST_PAGE, ListingPage, PageQuery
from .responses import Endpoint

# Target ids in one bind or unbind (Huawei's pages from December 2025 to June 2026).
BIND_LIMIT = 20

PolicyTargetType = Literal["device", "product", "app"]
TARGET_TYPES = get_args(PolicyTargetType)


@dataclass(frozen=True, slots=True)
class PolicyStatement:
    """One rule of a policy.

    effect     ALLOW or DENY
    actions    iotda:devices:publish, iotda:devices:subscribe
    resources  1 to 10 of ``topic:<filter>``
    """

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        """Build a rule. It is only shown, so values of another type are text."""
        if not {"effect", "actions", "resources"} <= doc.keys():
            raise Malformed("a statement has no effect, actions or resources")
        return cls(
            get_text(doc, "effect"),
            _texts_of(doc["actions"]),
            _texts_of(doc["resources"]),
        )

    @classmethod
    def from_other(cls, value: Any) -> Self:
        return cls("", (), (text_of(value),))

    def to_json(self) -> Json:
        return {
            "effect": self.effect,
            "actions": list(self.actions),
            "resources": list(self.resources),
        }


def _texts_of(value: Any) -> tuple[str, ...]:
    return tuple(map(text_of, value if isinstance(value, list) else [value]))


@dataclass(frozen=True, slots=True)
class DevicePolicy(FromJson):
    """A policy. `statement` is () from ListDevicePolicies, which omits it."""

    policy_id: str
    policy_name: str = ""
    app_id: str = ""
    create_time: str = ""
    update_time: str = ""
    statement: tuple[PolicyStatement, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyTarget(FromJson):
    target_id: str
    target_type: str = ""  # device product app


def policy_from_json(document: Json) -> DevicePolicy:
    """Build a policy. An answer without a name, such as that to a bind, shows none."""
    if document.get("policy_name") is None:
        raise Malformed("policy_name is missing")
    return DevicePolicy.from_json(document)


class PolicyCalls(BaseClient):
    def list_device_policies(
        self, page: PageQuery = FIRST_PAGE
    ) -> ListingPage[DevicePolicy]:
        """Return one page of the policies, without their statements.

        An instance has at most 50, so one page contains them all.
        """
        name, build = "ListDevicePolicies", DevicePolicy.from_json
        return self._page(name, "/device-policies", page, "policies", build)

    def show_device_policy(self, policy_id: str) -> DevicePolicy:
        """Return one policy with its statement.

        Raises Rejected with `not_found` if it does not exist, and BadResponse if the
        answer is about another policy.
        """
        build = about(policy_from_json, policy_id=policy_id)
        path = _policy_path(policy_id)
        return self._call(Endpoint("ShowDevicePolicy"), "GET", path, build)[0]

    def bind_device_policy(
        self,
        policy_id: str,
        target_type: PolicyTargetType,
        target_ids: Collection[str],
    ) -> BindResult:
        """Bind a policy to 1 to BIND_LIMIT devices, products or resource spaces.

        It is not atomic, and HTTP 200 does not mean success: see `BindResult.outcomes`.
        A target has at most 5 policies; one more fails with IOTDA.015204. The result
        for a target that has the policy already is not documented. Raises BadResponse
        if the answer names another policy or target: read the policy's targets back.
        """
        name = "BindDevicePolicy"
        return self._bind(name, "bind", policy_id, target_type, target_ids)

    def unbind_device_policy(
        self,
        policy_id: str,
        target_type: PolicyTargetType,
        target_ids: Collection[str],
    ) -> BindResult:
        """Unbind a policy; limits and result are those of `bind_device_policy`."""
        name = "UnbindDevicePolicy"
        return self._bind(name, "unbind", policy_id, target_type, target_ids)

    def show_targets_in_device_policy(
        self,
        policy_id: str,
        page: PageQuery = FIRST_PAGE,
        *,
        target_type: PolicyTargetType | None = None,
    ) -> ListingPage[PolicyTarget]:
        """Return one page of a policy's targets. A read, although the API uses POST.

        Raises BadResponse if a target is of another type than requested. IoTDA does not
        repeat the policy in its answer.
        """
        body: Json = page.to_json()
        row: Build[PolicyTarget] = PolicyTarget.from_json
        if target_type is not None:
            body["target_type"] = checked_choice(
                target_type, TARGET_TYPES, "target_type"
            )
            row = about(row, target_type=target_type)
        build = partial(
            ListingPage.from_json, "targets", row, page.limit, skip=self._skip
        )
        endpoint = Endpoint("ShowTargetsInDevicePolicy")
        path = f"{_policy_path(policy_id)}/list-targets"
        return self._call(endpoint, "POST", path, build, body=body)[0]

    def _bind(
        self,
        name: str,
        action: str,
        policy_id: str,
        target_type: PolicyTargetType,
        target_ids: Collection[str],
    ) -> BindResult:
        body: Json = {
            "target_type": checked_choice(target_type, TARGET_TYPES, "target_type"),
            "target_ids": checked_list(target_ids, BIND_LIMIT, "target id"),
        }
        build_any = about(
            BindResult.from_json, policy_id=policy_id, target_type=target_type
        )

        def build(doc: Json) -> BindResult:
            result = build_any(doc)
            require_requested(result.named, body["target_ids"])
            return result

        endpoint = Endpoint(name, write=True)
        path = f"{_policy_path(policy_id)}/{action}"
        result, response = self._call(endpoint, "POST", path, build, body=body)
        return replace(result, status=response.status, request_id=response.request_id)


def _policy_path(policy_id: str) -> str:
    return f"/device-policies/{checked(policy_id, 'policy id')}"
