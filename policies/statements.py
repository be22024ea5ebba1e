"""A policy's statements in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

PUBLISH, SUBSCRIBE = "iotda:devices:publish", "iotda:devices:subscribe"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    effect: str
    actions: Sequence[str]
    resources: Sequence[str]

    @property
    def allows(self) -> bool:
        return self.effect == "ALLOW"

    @property
    def effect_word(self) -> str:
        return effect_word(self.effect)

    @property
    def actions_words(self) -> str:
        return actions_words(self.actions)

    @property
    def topics(self) -> list[str]:
        return [resource.removeprefix("topic:") for resource in self.resources]

    @property
    def has_mqtt_wildcards(self) -> bool:
        """Return whether it has + or #, which are no wildcards in a policy."""
        return any(wildcard in topic for topic in self.topics for wildcard in "+#")


def effect_word(effect: str) -> str:
    return {"ALLOW": _("Allow"), "DENY": _("Deny")}.get(effect, effect)


def actions_words(actions: Sequence[str]) -> str:
    words = {
        (PUBLISH, SUBSCRIBE): _("to publish and subscribe to"),
        (PUBLISH,): _("to publish to"),
        (SUBSCRIBE,): _("to subscribe to"),
    }
    return words.get(tuple(sorted(actions))) or ", ".join(actions)


def parse_statements(statements: list[dict[str, Any]] | None) -> list[PolicyRule]:
    return [
        PolicyRule(s["effect"], s["actions"], s["resources"]) for s in statements or []
    ]
