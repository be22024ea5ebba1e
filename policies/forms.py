from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from devices.models import Space
from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.ids import is_id
from iotda_admin.operations.web.forms import IDS, ReadIdsField, TargetsForm
from policies.models import Policy, TargetType
from policies.permissions import visible_policies


class PolicyTargetsForm(TargetsForm):
    """A policy on chosen targets. A whole resource space needs its name to be typed."""

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
        """Without a user, as from the command line, in every resource space."""
        super().__init__(*args, **kwargs)
        self.user = user
        for field in self.fields.values():
            if isinstance(field, ReadIdsField):
                field.kind = str(self["target_type"].value())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        complete = not {*IDS, "target_type"} & set(self.errors)
        if complete and cleaned["target_type"] == TargetType.SPACE:
            self.confirm_space(self.targets(), cleaned.get("space_name", ""))
        return cleaned

    def confirm_space(self, targets: list[str], typed: str) -> None:
        if len(targets) > 1:
            raise ValidationError({"target": _("One resource space at a time.")})
        spaces = (
            in_scope(Space.objects.all(), self.user)
            if self.user
            else Space.objects.all()
        )
        space = spaces.filter(pk=targets[0]).first()
        if space is None:
            raise ValidationError(
                {
                    "target": _(
                        "This resource space is not in the inventory. Refresh it first."
                    )
                }
            )
        if not typed or typed != space.name:
            message = _("Type the name exactly as it is shown: %(name)s")
            raise ValidationError(
                {"space_name": ValidationError(message, params={"name": space.name})}
            )


class PolicyField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def to_python(self, value: Any) -> Policy | None:
        # PostgreSQL refuses to look for what cannot be an id at all.
        if value and not is_id(str(value)):
            raise ValidationError(
                self.error_messages["invalid_choice"], code="invalid_choice"
            )
        policy: Policy | None = super().to_python(value)
        return policy


class BindForm(PolicyTargetsForm):
    policy = PolicyField(
        Policy.objects.all(),
        label=_("Policy"),
        empty_label=_("Choose a policy"),
        error_messages={
            "required": _("Choose a policy."),
            "invalid_choice": _(
                "This policy is not in the inventory any more. Choose another."
            ),
        },
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["policy"]
        assert isinstance(field, PolicyField)
        field.queryset = (
            visible_policies(self.user) if self.user else Policy.objects.all()
        )
