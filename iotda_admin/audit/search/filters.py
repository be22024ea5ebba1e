"""What the trail can be narrowed by. It stands in the URL; the page, its links and its export share it."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from iotda_admin.audit import hooks
from iotda_admin.audit.chain import reason_words
from iotda_admin.audit.models import Event
from iotda_admin.core.time_zone import zone_named

DENIED = "denied"
OUTCOMES = [
    ("ok", _("Done")),
    ("already", _("Already so")),
    ("failed", _("Failed")),
    ("unknown", _("Unknown")),
    ("skipped", _("Not sent")),
    ("cancelled", _("Cancelled")),
    (DENIED, _("Not allowed")),
]
SOURCES = [("web", _("Web")), ("cli", _("Command line")), ("worker", _("Worker"))]


class DateTimeFilter(forms.DateTimeField):
    """A time without an offset is in the reader's zone."""

    def __init__(self, *, label: Any) -> None:
        super().__init__(label=label, required=False, widget=forms.DateTimeInput)

    def to_python(self, value: Any) -> datetime | None:
        at: datetime | None = super().to_python(value)
        # The ends of the calendar have no time in UTC.
        if at and not 1970 <= at.year < 9000:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return at


class TimeZoneFilter(forms.CharField):
    def clean(self, value: Any) -> Any:
        name = super().clean(value)
        if name and zone_named(name) is None:
            raise ValidationError(_("There is no such time zone."))
        return name


class OperationNumberFilter(forms.RegexField):
    def __init__(self) -> None:
        invalid = {"invalid": _("An operation is written like OP-12.")}
        super().__init__(
            r"\A(?i:OP-)?[0-9]{1,18}\Z",
            label=_("Operation"),
            required=False,
            error_messages=invalid,
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        return int(text[3:] if text[:1] in ("o", "O") else text) if text else None


class AuditFilterForm(forms.Form):
    """Each filter is a field; a wrong one is named where it stands, and then nothing is found."""

    ticket = forms.CharField(label=_("Ticket"), required=False, max_length=64)
    actor = forms.CharField(label=_("Person"), required=False, max_length=150)
    kind = forms.ChoiceField(label=_("Event"), required=False)
    verb = forms.ChoiceField(label=_("Change"), required=False)
    target = forms.CharField(label=_("Target ID"), required=False, max_length=128)
    policy = forms.CharField(label=_("Policy"), required=False, max_length=128)
    outcome = forms.ChoiceField(label=_("Outcome"), required=False)
    code = forms.CharField(label=_("Error code"), required=False, max_length=64)
    reason = forms.CharField(
        label=_("Words of the reason"), required=False, max_length=200
    )
    operation = OperationNumberFilter()
    source = forms.ChoiceField(label=_("Source"), required=False)
    since = DateTimeFilter(label=_("From"))
    until = DateTimeFilter(label=_("Before"))
    zone = TimeZoneFilter(label=_("Time zone"), required=False, max_length=64)
    outside = forms.BooleanField(label=_("Outside working hours"), required=False)
    whole = forms.BooleanField(label=_("A whole resource space"), required=False)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.choose("kind", _("Any event"), Event.Kind.choices)
        self.choose(
            "verb",
            _("Any change"),
            [(verb, verb) for verb in hooks.operations.verb_names],
        )
        self.choose("outcome", _("Any outcome"), OUTCOMES)
        self.choose("source", _("Any source"), SOURCES)
        # A link with a time means the same for a reader elsewhere.
        named = zone_named(data.get("zone", ""))
        self.spoken: ZoneInfo = named or timezone.get_current_timezone()
        with timezone.override(self.spoken):
            self.full_clean()

    def choose(self, name: str, empty: Any, choices: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", empty), *choices]

    def clean_reason(self) -> str:
        text: str = self.cleaned_data["reason"]
        if text and not reason_words(text):
            raise ValidationError(_("Give a word with letters or digits."))
        return text

    @property
    def asked(self) -> dict[str, Any]:
        """The filters that are on."""
        own = {name: value for name, value in self.cleaned_data.items() if value}
        return (
            own
            if {"since", "until"} & own.keys()
            else {k: v for k, v in own.items() if k != "zone"}
        )

    def applied(self) -> list[tuple[str, Any, Any]]:
        """Name, label and value of each, for the chips."""
        return [
            (name, self.fields[name].label, self.shown(name))
            for name in self.asked
            if name != "zone"
        ]

    def shown(self, name: str) -> Any:
        value, field = self.cleaned_data[name], self.fields[name]
        match field:
            case forms.ChoiceField():
                return dict(field.choices)[value]  # type: ignore[arg-type]
            case DateTimeFilter():
                return (
                    f"{value.astimezone(self.spoken):%Y-%m-%d %H:%M} {self.spoken.key}"
                )
            case OperationNumberFilter():
                return f"OP-{value}"
        return "" if value is True else value

    def query(self, **more: str) -> str:
        """The same question, for a link; the same for whoever opens it."""
        said = {name: self.data[name] for name in self.asked} | more
        if {"since", "until"} & said.keys():
            said["zone"] = self.spoken.key
        return urlencode(said)

    def words(self) -> dict[str, str]:
        """For the record of an export."""
        return {name: str(value) for name, value in self.asked.items()}
