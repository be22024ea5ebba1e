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
        words = {
            (PUBLISH, SUBSCRIBE): _("to publish and subscribe to"),
            (PUBLISH,): _("to publish to"),
            (SUBSCRIBE,): _("to subscribe to"),
        }
        return words.get(tuple(sorted(self.actions))) or ", ".join(self.actions)

    @property
    def topics(self) -> list[str]:
        return [resource.removeprefix("topic:") for resource in self.resources]


def parse_statements(statements: list[dict[str, Any]] | None) -> list[PolicyRule]:
    return [
        PolicyRule(s["effect"], s["actions"], s["resources"]) for s in statements or []
    ]
