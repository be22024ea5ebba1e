"""Which policies are in effect on a device, through what, and what they allow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from devices.models import Device
from devices.targets import known_devices
from iotda_admin.access.scope import AnyUser, in_scope
from policies.models import POLICIES_PER_TARGET, Binding, Policy, TargetType
from policies.permissions import visible_policies
from policies.targets import devices_of
from policies.topics import TopicAccess, TopicRule, decide, topic_rules

# The first of so many targets that the inventory knows is the example of a binding.
EXAMPLES = 20
# Each rule that is listed is compared with each denial.
RULES_LISTED = 100
THROUGH = {
    TargetType.DEVICE: _("This device"),
    TargetType.PRODUCT: _("Its product"),
    TargetType.SPACE: _("Its resource space"),
}


def policies_on_target(kind: str, target_id: str, user: AnyUser) -> dict[str, Any]:
    """Return them by the inventory: IoTDA has no call for it."""
    return describe_bindings(Q(target_type=kind, target_id=target_id), kind, user)


def effective_policies(device: Device, user: AnyUser) -> dict[str, Any]:
    context = describe_bindings(reaching(device), TargetType.DEVICE, user)
    for binding in context["bindings"]:
        binding.through = THROUGH[binding.target_type]
    return context


def reaching(device: Device) -> Q:
    """Return the condition of bindings that bring a policy to this device."""
    return (
        Q(target_type=TargetType.DEVICE, target_id=device.device_id)
        | Q(target_type=TargetType.PRODUCT, target_id=device.product_id)
        | Q(target_type=TargetType.SPACE, target_id=device.app_id)
    )


def describe_bindings(through: Q, kind: str, user: AnyUser) -> dict[str, Any]:
    """Return the bindings that the user may see, and the number on the target itself."""
    bound = Binding.objects.filter(through)
    shown = bound.filter(policy__in=visible_policies(user)).select_related("policy")
    return {
        "bindings": shown.order_by("target_type", "policy__name", "policy"),
        "own": bound.filter(target_type=kind).count(),
        "limit": POLICIES_PER_TARGET,
    }


@dataclass(frozen=True, slots=True)
class DeviceRules:
    """What the policies in effect on a device say, by the inventory.

    rules   the denials first; ``policy`` of a rule is None if the user may not see it
    unread  the policies whose statements are unknown, None for those not to be seen
    """

    rules: Sequence[TopicRule]
    unread: Sequence[Policy | None]

    def decide(self, action: str, topic: str) -> TopicAccess:
        return decide(self.rules, action, topic, complete=not self.unread)

    @property
    def listed(self) -> list[tuple[TopicRule, TopicRule | None]]:
        """Return each rule, and the denial that leaves nothing of it, if there is one.

        Only those of policies that the user may see, and the first of very many.
        """
        rules = [rule for rule in self.rules if rule.policy][:RULES_LISTED]
        denials = [rule for rule in self.rules if rule.denies][:RULES_LISTED]
        return [
            (rule, None if rule.denies else first_cover(denials, rule))
            for rule in rules
        ]

    @property
    def not_listed(self) -> int:
        return len(self.rules) - len(self.listed)


def rules_of_device(device: Device, user: AnyUser) -> DeviceRules:
    """Return the rules of all policies on the device, its product and its space.

    Those of policies that the user may not see count, too, but are not named.
    """
    bindings = list(Binding.objects.filter(reaching(device)))
    ids = {binding.policy_id for binding in bindings}
    policies = Policy.objects.in_bulk(ids)
    visible = set(
        visible_policies(user).filter(pk__in=ids).values_list("pk", flat=True)
    )
    rules: list[TopicRule] = []
    unread: dict[str, Policy | None] = {}
    for binding in bindings:
        policy = policies.get(binding.policy_id)
        named = policy if binding.policy_id in visible else None
        if policy is None or policy.statements is None:
            unread[binding.policy_id] = named
            continue
        through = THROUGH.get(TargetType(binding.target_type))
        rules += topic_rules(policy.rules, device.device_id, named, through)
    rules.sort(key=lambda rule: (not rule.denies, rule.topic))
    return DeviceRules(rules, list(unread.values()))


def first_cover(rules: Iterable[TopicRule], other: TopicRule) -> TopicRule | None:
    """Return the first of these rules that is for all that the other one is for."""
    return next((rule for rule in rules if rule.covers(other)), None)


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """What a rule of a policy would do on a device beside the rules that are there.

    denied_by  a denial that leaves nothing of it, also of the same policy
    partly     a denial of some of its topics
    same_as    a rule that says the same already
    ends       what the device may do now, of which this denial ends all or a part
    """

    rule: TopicRule
    denied_by: TopicRule | None = None
    partly: TopicRule | None = None
    same_as: TopicRule | None = None
    ends: Sequence[TopicRule] = ()


@dataclass(frozen=True, slots=True)
class BindingEffect:
    """What a policy would change on one device, an example of the targets chosen."""

    device: Device
    rules: Sequence[RuleEffect]
    unread: Sequence[Policy | None]


def effect_of_binding(
    policy: Policy | None, target_type: str, ids: Sequence[str], user: AnyUser
) -> BindingEffect | None:
    """Return what binding the policy changes on the first device that it would reach.

    None without such a device, and for very many rules, which are not compared.
    """
    if policy is None or policy.statements is None or not ids:
        return None
    first = ids[:EXAMPLES]
    reached = devices_of(target_type, first)
    rows = known_devices(first) if reached is None else reached
    # Without an order, which would sort all devices of a space.
    for device in in_scope(rows, user).order_by()[:1]:
        there = rules_of_device(device, user)
        new = topic_rules(policy.rules, device.device_id, policy)
        if max(len(new), len(there.rules)) > RULES_LISTED:
            return None
        effects = [effect_of_rule(rule, there.rules, new) for rule in new]
        return BindingEffect(device, effects, there.unread)
    return None


def effect_of_rule(
    rule: TopicRule, there: Sequence[TopicRule], new: Sequence[TopicRule]
) -> RuleEffect:
    """Return the effect beside the rules that are there, and the others of its policy."""
    alike = first_cover((each for each in there if each.effect == rule.effect), rule)
    if rule.denies:
        denials = [each for each in there if each.denies]
        ends = [
            each
            for each in there
            if each.allows and rule.overlaps(each) and not first_cover(denials, each)
        ]
        return RuleEffect(rule, same_as=alike, ends=ends)
    denials = [each for each in (*there, *new) if each.denies]
    partly = next((each for each in denials if each.overlaps(rule)), None)
    return RuleEffect(rule, first_cover(denials, rule), partly, alike)
