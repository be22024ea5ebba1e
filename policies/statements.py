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
        return {"ALLOW": _("Allow"), "DENY": _("Deny")}.get(self.effect, self.effect)

    @property
    def actions_words(self) -> str:
        match sorted(self.actions):
            case [p, s] if (p, s) == (PUBLISH, SUBSCRIBE):
                return _("to publish and subscribe to")
            case [p] if p == PUBLISH:
                return _("to publish to")
            case [s] if s == SUBSCRIBE:
                return _("to subscribe to")
        return ", ".join(self.actions)

    @property
    def topics(self) -> list[str]:
        return [resource.removeprefix("topic:") for resource in self.resources]


def parse_statements(statements: list[dict[str, Any]] | None) -> list[PolicyRule]:
    return [
        PolicyRule(s["effect"], s["actions"], s["resources"]) for s in statements or []
    ]
