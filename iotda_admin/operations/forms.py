"""What every form that changes the platform has: a reason, a ticket, and a key that makes twice once."""

import uuid
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from iotda_admin.ids import Problem, is_id, parse

PROBLEMS_SHOWN = 10
NOT_COMPLETE = gettext_lazy("This form was not complete. Open it again.")


def new_key() -> str:
    return uuid.uuid4().hex


class AskForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        error_messages={"required": gettext_lazy("Say why: the reason is kept in the audit trail.")},
    )
    ticket = forms.CharField(label=gettext_lazy("Ticket"), max_length=64, required=False)
    key = forms.RegexField(
        r"\A[0-9a-f]{32}\Z",
        widget=forms.HiddenInput,
        initial=new_key,
        error_messages={"required": NOT_COMPLETE, "invalid": NOT_COMPLETE},
    )

    @property
    def current_key(self) -> str:
        """The key to render: the one that was sent, so that sending again is still the same asking."""
        return str(self["key"].value() or new_key())


class IdsField(forms.Field):
    """Ids as repeated values of one name, e.g. ticked rows."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[str]:
        return list(dict.fromkeys(value or []))

    def validate(self, value: list[str]) -> None:
        super().validate(value)
        problems = [Problem(0, id) for id in value if not is_id(id)]
        if problems:
            raise ValidationError(describe(problems))


class PastedIdsField(forms.Field):
    """Ids as people paste them; each bad one is named with its line."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> list[str]:
        pasted = parse(value or "")
        self.duplicates = pasted.duplicates
        if pasted.problems:
            raise ValidationError(describe(pasted.problems))
        return pasted.ids


def describe(problems: list[Problem]) -> list[str]:
    said = [describe_one(problem) for problem in problems[:PROBLEMS_SHOWN]]
    if (more := len(problems) - PROBLEMS_SHOWN) > 0:
        said.append(ngettext("%(n)d more like it.", "%(n)d more like these.", more) % {"n": more})
    return said


def describe_one(problem: Problem) -> str:
    # ascii(): a look-alike letter or an invisible character shows itself.
    value = ascii(problem.value)[1:-1]
    value = value if len(value) <= 60 else value[:60] + "…"
    if problem.line:
        where = _("Line %(line)d: “%(value)s” is not an ID.") % {"line": problem.line, "value": value}
    else:
        where = _("“%(value)s” is not an ID.") % {"value": value}
    return f"{where} " + _("IDs have 1 to 128 letters, digits, _ or -.")


class TargetsForm(AskForm):
    """Asks for a change of chosen targets."""

    target = IdsField(error_messages={"required": gettext_lazy("Choose at least one.")})


def chosen_targets(data: QueryDict, name: str = "target") -> list[str]:
    """The well-formed ids among what was ticked."""
    return only_ids(data.getlist(name))


def only_ids(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if is_id(value)]
