from typing import Any

from django import forms
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from iotda_admin.operations.verbs import all_verbs

ME, NOBODY = "me", "nobody"


def verbs() -> list[tuple[str, Any]]:
    return [
        ("", _("Any change")),
        *((verb.name, verb.title) for verb in all_verbs()),
    ]


class FilterForm(forms.Form):
    """What the list is narrowed by; all of it is in the address."""

    target = forms.CharField(label=_("Target ID"), required=False, max_length=128)
    ticket = forms.CharField(label=_("Ticket"), required=False, max_length=64)
    owner = forms.CharField(label=_("Owner"), required=False, max_length=150)
    verb = forms.ChoiceField(label=_("Change"), choices=verbs, required=False)
    can = forms.ChoiceField(
        label=_("Asking again"),
        required=False,
        choices=[
            ("", _("All")),
            ("retry", _("Can help")),
            ("hopeless", _("Cannot help")),
        ],
    )

    @property
    def said(self) -> dict[str, str]:
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    @property
    def applied(self) -> list[tuple[str, Any, Any]]:
        """Each filter that is on: its name, its label and its value in words."""
        return [
            (name, self.fields[name].label, self.words(name, value))
            for name, value in self.said.items()
        ]

    def words(self, name: str, value: str) -> Any:
        if name == "owner":
            return {ME: _("me"), NOBODY: _("nobody")}.get(value, value)
        return dict(getattr(self.fields[name], "choices", [])).get(value, value)

    def narrow(self, user: User | AnonymousUser) -> Q:
        said, found = self.said, Q()
        if owner := said.get("owner"):
            nobody = Q(care=None) | Q(care__owner_name="")
            mine = Q(care__owner=user.pk)
            found &= {ME: mine, NOBODY: nobody}.get(owner, Q(care__owner_name=owner))
        if ticket := said.get("ticket"):
            found &= Q(operation__ticket__iexact=ticket) | Q(
                care__ticket__iexact=ticket
            )
        if verb := said.get("verb"):
            found &= Q(operation__verb=verb)
        if target := said.get("target"):
            found &= Q(target_id=target)
        return found


class NoteForm(forms.Form):
    """A field that is left as it is changes nothing."""

    note = forms.CharField(label=_("Note"), required=False, max_length=500)
    ticket = forms.CharField(label=_("Ticket"), required=False, max_length=64)


class SolvedForm(forms.Form):
    reason = forms.CharField(
        label=_("Solved because"),
        max_length=500,
        error_messages={
            "required": _("Say why: the reason is kept in the audit trail.")
        },
    )
