"""What the policies of a device allow: against a slow evaluator that tries every way."""

import random
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest

from policies.statements import PUBLISH, SUBSCRIBE, PolicyRule
from policies.topics import TopicRule, decide, topic_rules

ME = "pump-1"
RULES = 10_000
PARTS = ["a", "b", "/", "/", "*", "?", "+", "#", "${devices.deviceId}", ME, "a/b"]


def matches(pattern: str, topic: str, *, mqtt: bool = False) -> bool:
    """The reference: try every length of each wildcard."""
    if not pattern:
        return not topic
    if pattern.startswith("${devices.deviceId}"):
        rest = pattern.removeprefix("${devices.deviceId}")
        return topic.startswith(ME) and matches(rest, topic.removeprefix(ME), mqtt=mqtt)
    first, rest = pattern[0], pattern[1:]
    if first == "*" or (mqtt and first == "#"):
        return any(
            matches(rest, topic[end:], mqtt=mqtt) for end in range(len(topic) + 1)
        )
    if mqtt and first == "+":
        level = topic.partition("/")[0]
        return any(
            matches(rest, topic[end:], mqtt=mqtt) for end in range(len(level) + 1)
        )
    alike = bool(topic) and first in ("?", topic[0])
    return alike and matches(rest, topic[1:], mqtt=mqtt)


def expected(
    rules: Sequence[PolicyRule], action: str, topic: str, *, mqtt: bool = False
) -> bool:
    effects = {
        rule.effect
        for rule in rules
        if action in rule.actions
        and any(matches(each[6:], topic, mqtt=mqtt) for each in rule.resources)
    }
    return effects == {"ALLOW"}


def some(dice: random.Random, parts: Sequence[str], most: int) -> str:
    return "".join(dice.choices(parts, k=dice.randint(1, most)))


def random_rules(dice: random.Random) -> list[PolicyRule]:
    return [
        PolicyRule(
            dice.choice(["ALLOW", "ALLOW", "DENY"]),
            dice.choice([[PUBLISH], [SUBSCRIBE], [PUBLISH, SUBSCRIBE]]),
            [f"topic:{some(dice, PARTS, 5)}" for _ in range(dice.randint(1, 3))],
        )
        for _ in range(dice.randint(1, 4))
    ]


def topic_near(dice: random.Random, rules: Sequence[PolicyRule]) -> str:
    """Return a topic that some rule is likely to match."""
    topic = dice.choice(dice.choice(rules).resources)[6:]
    topic = topic.replace("${devices.deviceId}", dice.choice([ME, "pump-2"]))
    for wildcard in "*?#+":
        topic = topic.replace(wildcard, some(dice, ["a", "b", "/", "+", ""], 2))
    return topic


def test_answers_equal_those_of_a_slow_evaluator() -> None:
    dice, seen = random.Random(4), set()
    for _ in range(RULES):
        rules = random_rules(dice)
        action, topic = dice.choice([PUBLISH, SUBSCRIBE]), topic_near(dice, rules)
        access = decide(topic_rules(rules, ME), action, topic)
        right = expected(rules, action, topic)
        other = expected(rules, action, topic, mqtt=True)
        assert access.allowed is right, (rules, action, topic)
        assert access.uncertain == (right != other), (rules, action, topic)
        seen.add((access.allowed, access.uncertain))
    assert len(seen) == 4


def test_a_rule_that_covers_another_is_for_each_topic_of_it() -> None:
    dice, covered = random.Random(5), 0
    for _ in range(RULES):
        one, other = (rules_of(*random_rules(dice))[0] for _ in range(2))
        if not one.covers(other):
            continue
        covered += 1
        topic = topic_near(dice, [PolicyRule("", [], [f"topic:{other.topic}"])])
        for action in other.actions:
            if other.applies(action, topic):
                assert one.applies(action, topic), (one.topic, other.topic, topic)
    assert covered > RULES / 100


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ("*", "", True),
        ("a/*", "*/b", True),
        ("a?", "?b", True),
        ("a?", "b?", False),
        ("a*c", "ab", False),
        ("*a*", "b*c", True),
        ("??", "a", False),
        ("a", "ab", False),
        ("a*", "a", True),
        ("/v1/+", "/v1/*", True),
        ("/v1/+", "/v1/x", False),
    ],
)
def test_patterns_overlap_if_a_topic_matches_both(
    one: str, other: str, common: bool
) -> None:
    first, second = rules_of(rule("ALLOW", one), rule("DENY", other))
    assert first.overlaps(second) is common
    assert second.overlaps(first) is common


def test_overlaps_equal_those_of_all_short_topics() -> None:
    dice, seen = random.Random(6), set()
    topics = ["".join(each) for n in range(5) for each in product("ab", repeat=n)]
    for _ in range(2000):
        texts = [some(dice, ["a", "b", "*", "?"], 4) for _ in range(2)]
        first, second = (rules_of(rule("ALLOW", text))[0] for text in texts)
        common = any(
            all(each.applies(PUBLISH, topic) for each in (first, second))
            for topic in topics
        )
        if any(len(text) > 3 for text in texts) and not common:
            continue
        assert first.overlaps(second) is common, texts
        seen.add(common)
    assert seen == {True, False}


def rules_of(*rules: PolicyRule) -> list[TopicRule]:
    return topic_rules(rules, ME)


def rule(effect: str, topic: str, *actions: str) -> PolicyRule:
    return PolicyRule(effect, actions or [PUBLISH, SUBSCRIBE], [f"topic:{topic}"])


@pytest.mark.parametrize(
    ("pattern", "topic", "allowed"),
    [
        ("*", "any/thing", True),
        ("a/*", "a/b/c", True),
        ("a/*", "a/", True),
        ("a/*", "a", False),
        ("a/?", "a/b", True),
        ("a/?", "a/bc", False),
        ("a/+", "a/b", False),
        ("a/+", "a/+", True),
        ("a/#", "a/b", False),
        ("#", "a", False),
        ("/v1/${devices.deviceId}/x", "/v1/pump-1/x", True),
        ("/v1/${devices.deviceId}/x", "/v1/pump-2/x", False),
        ("${devices.deviceId}${devices.deviceId}", "pump-1pump-1", True),
        ("/v1/${devices.other}/x", "/v1/pump-1/x", False),
    ],
)
def test_a_topic_of_a_policy(pattern: str, topic: str, allowed: bool) -> None:
    assert decide(rules_of(rule("ALLOW", pattern)), PUBLISH, topic).allowed is allowed


def test_the_denial_decides_and_is_named() -> None:
    rules = rules_of(rule("ALLOW", "*"), rule("DENY", "/debug/*"))
    access = decide(rules, SUBSCRIBE, "/debug/x")
    assert (access.allowed, access.rule) == (False, rules[1])
    assert decide(rules, SUBSCRIBE, "/x").rule is rules[0]


def test_what_no_rule_allows_is_denied() -> None:
    access = decide(rules_of(rule("ALLOW", "a", PUBLISH)), SUBSCRIBE, "a")
    assert (access.allowed, access.rule) == (False, None)


def test_unknown_statements_leave_only_a_denial_certain() -> None:
    rules = rules_of(rule("ALLOW", "*"), rule("DENY", "/debug/*"))
    assert decide(rules, PUBLISH, "/x", complete=False).allowed is None
    assert decide(rules, PUBLISH, "/debug/x", complete=False).allowed is False


@pytest.mark.parametrize("effect", ["", "MAYBE", "allow"])
def test_an_effect_that_is_not_known_decides_nothing(effect: str) -> None:
    rules = rules_of(rule("ALLOW", "*"), rule(effect, "/odd/*"))
    assert decide(rules, PUBLISH, "/odd/x").allowed is None
    assert decide(rules, PUBLISH, "/x").allowed is True


def test_an_id_with_wildcards_stands_for_itself() -> None:
    rules = topic_rules([rule("ALLOW", "/v1/${devices.deviceId}/x")], "p*")
    assert decide(rules, PUBLISH, "/v1/p*/x").allowed is True
    assert decide(rules, PUBLISH, "/v1/pump/x").allowed is False


def test_many_wildcards_take_no_longer() -> None:
    """Each is tried in no more than as many places as the topic has characters."""
    rules = rules_of(rule("ALLOW", "*a" * 60 + "b"))
    access: Any = decide(rules, PUBLISH, "a" * 128)
    assert access.allowed is False
