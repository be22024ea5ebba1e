"""Which topics a device may publish or subscribe to, by the statements of policies.

Source: the vendor's user guide on device policies, page iot_01_1114 of 2025-07-29, and
the API page CreateDevicePolicy of 2025-12-02. In a policy ``*`` stands for any
characters and ``?`` for one, also for a slash; ``+`` and ``#``, MQTT's own wildcards,
stand for themselves. Where one rule allows and another denies, the topic is denied.

Assumed: ``*`` may also stand for no character, and a topic is denied where no rule
allows it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from policies.statements import PolicyRule, actions_words, effect_word

# Replaced by the device's own ID. Source: iot_01_1114.
DEVICE_ID = "${devices.deviceId}"
PREFIX = "topic:"
# Policies do not apply to topics that begin so.
SYSTEM_PREFIX = "$oc"
# Bytes. Source: the vendor's user guide, iot_01_1111.
TOPIC_LIMIT = 128


class Wildcard(Enum):
    ANY = "any characters"
    ONE = "one character"
    # MQTT's, which the vendor's documentation does not give a meaning in policies.
    LEVEL = "any characters but a slash"


type Pattern = Sequence[str | Wildcard]

POLICY_WILDCARDS = {"*": Wildcard.ANY, "?": Wildcard.ONE}
MQTT_WILDCARDS = {"+": Wildcard.LEVEL, "#": Wildcard.ANY}


@dataclass(frozen=True, slots=True)
class TopicRule:
    """A rule of a policy for one topic, with the device's ID filled in.

    policy   the policy that it is a statement of
    through  what brings the policy to the device
    """

    effect: str
    actions: Sequence[str]
    topic: str
    pattern: Pattern
    # The pattern if + and # were wildcards, too.
    mqtt_pattern: Pattern
    policy: object = None
    through: object = None

    @property
    def effect_word(self) -> str:
        return effect_word(self.effect)

    @property
    def actions_words(self) -> str:
        return actions_words(self.actions)

    @property
    def allows(self) -> bool:
        return self.effect == "ALLOW"

    @property
    def denies(self) -> bool:
        return self.effect == "DENY"

    @property
    def has_mqtt_wildcards(self) -> bool:
        return self.pattern != self.mqtt_pattern

    def applies(self, action: str, topic: Pattern, *, mqtt: bool = False) -> bool:
        """Return whether it is for this action on the topic.

        mqtt: as if + and # were wildcards, too
        """
        if action not in self.actions:
            return False
        return covers(self.mqtt_pattern if mqtt else self.pattern, topic)

    def overlaps(self, other: "TopicRule") -> bool:
        """Return whether both are for the same action on some topic."""
        both = set(self.actions) & set(other.actions)
        return bool(both) and overlap(self.pattern, other.pattern)

    def covers(self, other: "TopicRule") -> bool:
        """Return whether it is for every action and every topic of the other rule."""
        return all(self.applies(action, other.pattern) for action in other.actions)


@dataclass(frozen=True, slots=True)
class TopicAccess:
    """Whether a device may do something; ``rule`` is the one that decides, if any.

    allowed    None: it depends on statements that are unknown
    uncertain  it would be another one if + and # were wildcards in policies
    """

    allowed: bool | None
    rule: TopicRule | None = None
    uncertain: bool = False


def topic_rules(
    rules: Iterable[PolicyRule],
    device_id: str,
    policy: object = None,
    through: object = None,
) -> list[TopicRule]:
    """Return the rules of a policy for a device, one for each topic."""
    return [
        TopicRule(
            rule.effect,
            rule.actions,
            resource.removeprefix(PREFIX).replace(DEVICE_ID, device_id),
            pattern_of(resource, device_id, POLICY_WILDCARDS),
            pattern_of(resource, device_id, POLICY_WILDCARDS | MQTT_WILDCARDS),
            policy,
            through,
        )
        for rule in rules
        for resource in rule.resources
    ]


def pattern_of(
    resource: str, device_id: str, wildcards: dict[str, Wildcard]
) -> Pattern:
    """Return the characters and wildcards of a resource. None of the ID is a wildcard."""
    found: list[str | Wildcard] = []
    for number, part in enumerate(resource.removeprefix(PREFIX).split(DEVICE_ID)):
        found += [*device_id] if number else []
        found += [wildcards.get(character, character) for character in part]
    return found


def covers(pattern: Pattern, topic: Pattern) -> bool:
    """Return whether the pattern matches all that the topic, itself a pattern, can be."""
    # How many characters of the topic the pattern can match so far.
    reached = {0}
    for part in pattern:
        if part is Wildcard.ANY:
            reached = set(range(min(reached), len(topic) + 1))
        elif part is Wildcard.LEVEL:
            reached = {end for start in reached for end in level_ends(topic, start)}
        else:
            reached = {
                position + 1
                for position in reached
                if position < len(topic) and stands_for(part, topic[position])
            }
        if not reached:
            return False
    return len(topic) in reached


def level_ends(topic: Pattern, start: int) -> Iterable[int]:
    """Return where the rest of a level that begins here, or a part of it, can end."""
    yield start
    for position in range(start, len(topic)):
        if topic[position] in ("/", Wildcard.ANY, Wildcard.ONE):
            return
        yield position + 1


def overlap(one: Pattern, other: Pattern) -> bool:
    """Return whether there is a topic that both patterns match."""
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if (i, j) == (len(one), len(other)):
            return True
        steps = {*steps_of(one, i, other, j)}
        steps |= {(a, b) for b, a in steps_of(other, j, one, i)}
        waiting += steps - seen
        seen |= steps
    return False


def steps_of(one: Pattern, i: int, other: Pattern, j: int) -> Iterable[tuple[int, int]]:
    """Yield how far both patterns are after the next part of the first one."""
    if i == len(one):
        return
    part, following = one[i], other[j] if j < len(other) else Wildcard.ANY
    if part is Wildcard.ANY:
        yield i + 1, j
        if j < len(other):
            yield i, j + 1
    elif following is not Wildcard.ANY and (
        Wildcard.ONE in (part, following) or part == following
    ):
        yield i + 1, j + 1


def stands_for(part: str | Wildcard, character: str | Wildcard) -> bool:
    if part is Wildcard.ONE:
        return character is not Wildcard.ANY
    return part == character


def decide(
    rules: Sequence[TopicRule], action: str, topic: str, *, complete: bool = True
) -> TopicAccess:
    """Return whether a device with these rules may publish or subscribe to a topic.

    complete: whether these are all rules of the device; else only a denial is certain
    """
    access = first_match(rules, action, topic, complete=complete)
    otherwise = first_match(rules, action, topic, complete=complete, mqtt=True)
    uncertain = access.allowed != otherwise.allowed
    return TopicAccess(access.allowed, access.rule, uncertain)


def first_match(
    rules: Sequence[TopicRule],
    action: str,
    topic: str,
    *,
    complete: bool,
    mqtt: bool = False,
) -> TopicAccess:
    found = [rule for rule in rules if rule.applies(action, topic, mqtt=mqtt)]
    for rule in found:
        if rule.denies:
            return TopicAccess(False, rule)
    # An effect that is neither may mean anything.
    if not complete or any(not rule.allows for rule in found):
        return TopicAccess(None)
    return TopicAccess(bool(found), found[0] if found else None)
