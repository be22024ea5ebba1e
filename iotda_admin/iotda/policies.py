"""The endpoints of device policies: who may publish and subscribe to which custom topics."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from .answers import Endpoint
from .binding import BindResult
from .calls import Caller
from .fields import Json, mended, need, need_id, optional_rows, strings, text
from .ids import checked, checked_list
from .listing import FIRST_PAGE, ListingPage, PageQuery
from .models import Ack

BIND_LIMIT = 20  # target ids in one bind or unbind (Huawei's pages from 2025-12 on)
POLICY_LIMIT = 50  # policies of an instance, so one page holds them all
POLICIES_PER_TARGET = 5
POLICY_TARGET_TYPES = ("device", "product", "app")

PolicyTargetType = Literal["device", "product", "app"]


@dataclass(frozen=True, slots=True)
class PolicyStatement:
    """One rule of a policy. `effect` ALLOW or DENY; `actions` iotda:devices:publish and :subscribe;
    `resources` 1 to 10 of ``topic:<filter>``."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        actions, resources = strings(doc, "actions"), strings(doc, "resources")
        return cls(
            mended(need(doc, "effect", str)),
            tuple(map(mended, actions)),
            tuple(map(mended, resources)),
        )

    def to_json(self) -> Json:
        return {
            "effect": self.effect,
            "actions": list(self.actions),
            "resources": list(self.resources),
        }


@dataclass(frozen=True, slots=True)
class DevicePolicy:
    policy_id: str  # required
    policy_name: str  # required
    app_id: str
    create_time: str
    update_time: str
    statement: tuple[
        PolicyStatement, ...
    ]  # () in ListDevicePolicies, which leaves it out
    status: int = 0  # HTTP; 0 in a list row
    request_id: str = ""

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(
            policy_id=need_id(doc, "policy_id"),
            policy_name=need_id(doc, "policy_name"),
            app_id=text(doc, "app_id"),
            create_time=text(doc, "create_time"),
            update_time=text(doc, "update_time"),
            statement=optional_rows(doc, "statement", PolicyStatement.from_json),
        )


@dataclass(frozen=True, slots=True)
class PolicyTarget:
    target_type: str  # device product app
    target_id: str  # required

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(text(doc, "target_type"), need_id(doc, "target_id"))


def _path(policy_id: str) -> str:
    return f"/device-policies/{checked(policy_id, 'policy id')}"


def _known(target_type: str) -> str:
    if target_type not in POLICY_TARGET_TYPES:
        raise ValueError(
            f"target_type is one of {', '.join(POLICY_TARGET_TYPES)}, not {target_type!r}"
        )
    return target_type


class PolicyCalls(Caller):
    def list_device_policies(
        self, page: PageQuery = FIRST_PAGE, *, app_id: str = "", policy_name: str = ""
    ) -> ListingPage[DevicePolicy]:
        """One page; an instance's POLICY_LIMIT policies fit in it. The rows have no statement."""
        filters = {"app_id": app_id, "policy_name": policy_name}
        return self._page(
            "ListDevicePolicies",
            "/device-policies",
            page,
            filters,
            "policies",
            DevicePolicy.from_json,
        )

    def show_device_policy(self, policy_id: str) -> DevicePolicy:
        """One policy with its statement. Rejected with status 404 when there is none."""
        return self._policy(Endpoint("ShowDevicePolicy"), "GET", _path(policy_id))

    def create_device_policy(
        self,
        policy_name: str,
        statement: Sequence[PolicyStatement],
        *,
        app_id: str = "",
    ) -> DevicePolicy:
        """A new policy, bound to nothing. The name is 1 to 128 of letters, digits, ``_`` and ``-``."""
        body: Json = {
            "policy_name": checked(policy_name, "policy name"),
            "statement": [rule.to_json() for rule in statement],
        }
        if app_id:
            body["app_id"] = checked(app_id, "app id")
        return self._policy(
            Endpoint("CreateDevicePolicy", write=True),
            "POST",
            "/device-policies",
            body,
        )

    def update_device_policy(
        self,
        policy_id: str,
        *,
        policy_name: str = "",
        statement: Sequence[PolicyStatement] = (),
    ) -> DevicePolicy:
        """Rename a policy, replace its statement, or both; what it is bound to feels it."""
        body: Json = {}
        if policy_name:
            body["policy_name"] = checked(policy_name, "policy name")
        if statement:
            body["statement"] = [rule.to_json() for rule in statement]
        if not body:
            raise ValueError("neither a name nor a statement to update")
        return self._policy(
            Endpoint("UpdateDevicePolicy", write=True), "PUT", _path(policy_id), body
        )

    def delete_device_policy(self, policy_id: str) -> Ack:
        """Delete a policy, which also unbinds all its targets. Any success status will do (204 assumed)."""
        return self._acknowledged(
            Endpoint("DeleteDevicePolicy", write=True, bodiless=True),
            "DELETE",
            _path(policy_id),
        )

    def bind_device_policy(
        self, policy_id: str, target_type: PolicyTargetType, target_ids: Collection[str]
    ) -> BindResult:
        """Bind a policy to 1 to BIND_LIMIT devices, products or resource spaces.

        Not atomic, and HTTP 200 is not success: see `BindResult.verdicts`. How the platform answers for a
        target that is bound already is not documented.
        """
        return self._bind(
            "BindDevicePolicy", "bind", policy_id, target_type, target_ids
        )

    def unbind_device_policy(
        self, policy_id: str, target_type: PolicyTargetType, target_ids: Collection[str]
    ) -> BindResult:
        """The opposite: same limits, same kind of answer."""
        return self._bind(
            "UnbindDevicePolicy", "unbind", policy_id, target_type, target_ids
        )

    def show_targets_in_device_policy(
        self,
        policy_id: str,
        page: PageQuery = FIRST_PAGE,
        *,
        target_type: PolicyTargetType | None = None,
    ) -> ListingPage[PolicyTarget]:
        """One page of what a policy is bound to. A read, although the API spells it POST."""
        body: Json = page.to_json()
        if target_type is not None:
            body["target_type"] = _known(target_type)

        def build(doc: Json) -> ListingPage[PolicyTarget]:
            return ListingPage.from_json(
                doc, "targets", PolicyTarget.from_json, page.limit
            )

        path = f"{_path(policy_id)}/list-targets"
        return self._read("ShowTargetsInDevicePolicy", "POST", path, build, body=body)

    def _policy(
        self, operation: Endpoint, method: str, path: str, body: Json | None = None
    ) -> DevicePolicy:
        policy, answer = self._call(
            operation, method, path, DevicePolicy.from_json, body=body
        )
        return replace(policy, status=answer.status, request_id=answer.request_id)

    def _bind(
        self,
        name: str,
        action: str,
        policy_id: str,
        target_type: str,
        target_ids: Collection[str],
    ) -> BindResult:
        ids = checked_list(target_ids, BIND_LIMIT, "target id")
        body: Json = {"target_type": _known(target_type), "target_ids": ids}

        def build(doc: Json) -> BindResult:
            return BindResult.from_json(doc, policy_id, target_type)

        operation = Endpoint(name, write=True)
        bound, answer = self._call(
            operation, "POST", f"{_path(policy_id)}/{action}", build, body=body
        )
        return replace(bound, status=answer.status, request_id=answer.request_id)
