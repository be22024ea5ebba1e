from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from devices.lookup import find_devices
from devices.models import Space
from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.forms import LineField
from iotda_admin.core.ids import Lookup, is_id
from iotda_admin.operations.models import Target
from iotda_admin.operations.verbs import OtherSpace, get_verb
from iotda_admin.operations.web.forms import (
    IDS,
    ChangeForm,
    ReadIdsField,
    TargetsForm,
    type_exactly,
)
from policies.models import Policy, TargetType
from policies.permissions import visible_policies
from policies.statements import PUBLISH, SUBSCRIBE
from policies.targets import other_space
from policies.topics import SYSTEM_PREFIX, TOPIC_LIMIT


def device_lookup(target_type: str, user: AnyUser | None) -> Lookup | None:
    """Return what finds devices by node ID or name, if the targets are devices."""
    if target_type != TargetType.DEVICE:
        return None
    return partial(find_devices, user=user)


class TopicForm(forms.Form):
    """Asks whether a device may publish or subscribe to a topic."""

    action = forms.ChoiceField(
        label=_("Action"),
        choices={PUBLISH: _("publish to"), SUBSCRIBE: _("subscribe to")},
    )
    topic = LineField(
        label=_("Topic"),
        error_messages={"required": _("Enter a topic.")},
    )

    def clean_topic(self) -> str:
        topic: str = self.cleaned_data["topic"]
        if len(topic.encode(errors="replace")) > TOPIC_LIMIT:
            message = _("A topic has at most %(limit)d bytes.")
            raise ValidationError(message % {"limit": TOPIC_LIMIT})
        return topic

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        topic = cleaned.get("topic", "")
        if topic.startswith(SYSTEM_PREFIX):
            message = _("Policies do not apply to topics that begin with $oc.")
            self.add_error("topic", message)
        elif cleaned.get("action") == PUBLISH and {"+", "#"} & {*topic}:
            message = _("No device can publish to a topic with + or #.")
            self.add_error("topic", message)
        return cleaned


class PolicyField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def to_python(self, value: Any) -> Policy | None:
        # PostgreSQL refuses to look for a NUL character.
        if value and not is_id(str(value)):
            message = self.error_messages["invalid_choice"]
            raise ValidationError(message, code="invalid_choice")
        return cast(Policy | None, super().to_python(value))


class PolicyForm(TargetsForm):
    """Requests a policy change on targets; a whole resource space needs its name typed."""

    policy = PolicyField(
        Policy.objects.all(),
        label=_("Policy"),
        empty_label=_("Choose a policy"),
        error_messages={
            "required": _("Choose a policy."),
            "invalid_choice": _(
                "This policy is no longer in the inventory. Choose another."
            ),
        },
    )
    target_type = forms.ChoiceField(
        choices=TargetType, error_messages={"required": _("Choose a kind of target.")}
    )
    space_name = forms.CharField(
        label=_("Name of the resource space"),
        required=False,
        max_length=256,
        strip=False,
    )

    def __init__(self, *args: Any, user: AnyUser | None = None, **kwargs: Any) -> None:
        """Without a user, as from the command line, all resource spaces are in scope."""
        super().__init__(*args, **kwargs)
        self.user = user
        if user:
            self.fields["policy"].queryset = visible_policies(user)  # type: ignore[attr-defined]
        kind = str(self["target_type"].value())
        for field in self.fields.values():
            if isinstance(field, ReadIdsField):
                field.kind, field.lookup = kind, device_lookup(kind, user)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        complete = not {*IDS, "target_type"} & set(self.errors)
        if complete and cleaned["target_type"] == TargetType.SPACE:
            self.confirm_space(self.targets(), cleaned.get("space_name", ""))
        return cleaned

    def confirm_space(self, targets: list[str], typed: str) -> None:
        if len(targets) > 1:
            raise ValidationError({"target": _("One resource space at a time.")})
        spaces = Space.objects.filter(pk=targets[0])
        space = (in_scope(spaces, self.user) if self.user else spaces).first()
        if space is None:
            message = _(
                "This resource space is not in the inventory. Refresh it first."
            )
            raise ValidationError({"target": message})
        if not typed or typed != space.name:
            raise ValidationError({"space_name": type_exactly(space.name)})


class ReplaceForm(ChangeForm):
    """Requests an unbind from a target, and the bind that failed there."""

    unbind = forms.CharField(required=False, max_length=36)

    def __init__(self, *args: Any, target: Target, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.target = target
        operation = target.operation
        self.initial = {"ticket": operation.ticket}
        verb = get_verb(operation.verb)
        self.expected = verb.confirmation(operation, [target.target_id])

    @property
    def said(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in ("reason", "ticket", "key")}

    @property
    def elsewhere(self) -> Sequence[OtherSpace]:
        operation = self.target.operation
        verb = get_verb(operation.verb)
        return verb.in_other_space(operation, [self.target.target_id])

    def clean(self) -> dict[str, Any]:
        self.confirm_other_space(self.elsewhere)
        return super().clean() or {}

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self.expected:
            raise type_exactly(self.expected)
        return typed

    def makes_room(self, *, full: bool) -> bool:
        """Return whether the form is valid, with a policy to unbind for a full target."""
        if full and self.is_bound and not self["unbind"].data:
            self.add_error("unbind", _("Choose the policy to unbind."))
        return self.is_valid()


class BindForm(PolicyForm):
    """Requests a bind; targets in other spaces than the policy's need a confirmation."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        self.confirm_other_space(self.elsewhere(cleaned.get("policy"), self.targets()))
        return cleaned

    def elsewhere(
        self, policy: Policy | None, ids: Sequence[str]
    ) -> Sequence[OtherSpace]:
        """Return the targets that are not in the policy's resource space."""
        return other_space(policy, str(self["target_type"].value()), ids, self.user)
