from typing import Any

from django import forms
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.scope import AnyUser
from iotda_admin.core.forms import IdFilter, LineField
from iotda_admin.core.search import equals
from iotda_admin.core.tickets import TicketField
from iotda_admin.operations.web.filters import verb_choices

ME, NOBODY = "me", "nobody"
ASSIGNEES = {ME: _("me"), NOBODY: _("nobody")}


class FailureFilterForm(forms.Form):
    """The filters of the list, as its URL holds them."""

    target = IdFilter(label=_("Target ID"), required=False, max_length=128)
    ticket = LineField(label=_("Ticket"), required=False, max_length=64)
    owner = LineField(label=_("Assignee"), required=False, max_length=150)
    verb = forms.ChoiceField(label=_("Change"), choices=verb_choices, required=False)
    can = forms.ChoiceField(
        label=_("Retry"),
        required=False,
        choices=[
            ("retry", _("Can help")),
            ("hopeless", _("Cannot help")),
        ],
    )

    @property
    def values(self) -> dict[str, str]:
        """Return the valid filters that are set."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    @property
    def applied(self) -> list[tuple[str, Any, Any]]:
        """Return name, label and displayed value of each filter that is set."""
        shown = []
        for name, value in self.values.items():
            field = self.fields[name]
            choices = ASSIGNEES if name == "owner" else getattr(field, "choices", ())
            shown.append((name, field.label, dict(choices).get(value, value)))
        return shown

    def filters(self, user: AnyUser) -> Q:
        values, found = self.values, Q()
        if assignee := values.get("owner"):
            found &= {
                ME: Q(assignment__assignee=user.pk),
                NOBODY: Q(assignment=None) | Q(assignment__assignee_name=""),
            }.get(assignee, equals(assignee, "assignment__assignee_name"))
        if ticket := values.get("ticket"):
            found &= equals(ticket, "operation__ticket", "assignment__ticket")
        if verb := values.get("verb"):
            found &= Q(operation__verb=verb)
        if target := values.get("target"):
            found &= Q(target_id=target)
        return found


class NoteForm(forms.Form):
    """Only changed fields are saved."""

    note = LineField(label=_("Note"), required=False, max_length=500)
    ticket = TicketField(label=_("Ticket"), required=False)


class ResolveForm(forms.Form):
    reason = LineField(
        label=_("Resolved because"),
        max_length=500,
        error_messages={
            "required": _("Enter a reason: it is kept in the audit trail.")
        },
    )
