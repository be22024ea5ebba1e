"""The filters of the audit trail, as in the URL of the page and of its exports."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from iotda_admin.audit import hooks
from iotda_admin.audit.models import Event
from iotda_admin.audit.search.words import reason_words
from iotda_admin.core.forms import CodeFilter, IdFilter, LineField, OperationField
from iotda_admin.core.time_zone import (
    occurs_twice,
    resolve_local_time,
    zone_named,
)

DENIED = "denied"
# A value of the filter for events that means several kinds.
OUTCOMES_OF_REQUESTS = "outcomes"
KINDS_WITH_OUTCOMES = (
    Event.Kind.OPERATION_REQUESTED,
    Event.Kind.CHUNK_ANSWERED,
    Event.Kind.CHUNK_UNANSWERED,
    Event.Kind.CHUNK_RECONCILED,
    Event.Kind.CHUNK_DROPPED,
)
OUTCOMES = [
    ("ok", _("Done")),
    ("already", _("Already so")),
    ("failed", _("Failed")),
    ("unknown", _("Unknown")),
    ("skipped", _("Not sent")),
    ("cancelled", _("Cancelled")),
    (DENIED, _("Not allowed")),
]
PICKER = "datetime-local"
SOURCES = [("web", _("Web")), ("cli", _("Command line")), ("worker", _("Worker"))]


def validate_words(text: str) -> None:
    if not reason_words(text):
        raise ValidationError(_("Give a word with letters or digits."))


def validate_zone(name: str) -> None:
    if zone_named(name) is None:
        raise ValidationError(_("Unknown time zone."))


def verb_name_choices() -> list[tuple[str, Any]]:
    return [
        ("", _("Any change")),
        *((name, name) for name in hooks.operations.verb_names),
    ]


class BoundaryField(forms.DateTimeField):
    """A time in ISO 8601; without an offset, in the current time zone.

    If clocks are set back there, the later of two moments is used with `later`.
    """

    default_error_messages = {"invalid": _("Write a time like 2026-01-31 14:30.")}

    def __init__(self, *, later: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.later = later

    def to_python(self, value: str | None) -> datetime | None:  # type: ignore[override]
        if not (text := (value or "").strip()):
            return None
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        # The first and the last year can overflow in UTC.
        if at is None or not 1970 <= at.year < 9000:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        if at.tzinfo:
            return at.astimezone(UTC)
        return resolve_local_time(at, timezone.get_current_timezone(), later=self.later)


class AuditFilterForm(forms.Form):
    """One field per filter. While a filter is invalid, nothing is found."""

    ticket = LineField(label=_("Ticket"), max_length=64)
    actor = LineField(label=_("Person"), max_length=150)
    kind = forms.ChoiceField(
        label=_("Event"),
        choices=[
            ("", _("Any event")),
            (OUTCOMES_OF_REQUESTS, _("Requests and their outcomes")),
            *Event.Kind.choices,
        ],
    )
    verb = forms.ChoiceField(label=_("Change"), choices=verb_name_choices)
    target = IdFilter(label=_("Target ID"), max_length=128)
    policy = IdFilter(label=_("Policy"), max_length=128)
    outcome = forms.ChoiceField(
        label=_("Outcome"), choices=[("", _("Any outcome")), *OUTCOMES]
    )
    code = CodeFilter(label=_("Error code"), max_length=64)
    reason = forms.CharField(
        label=_("Words of the reason"), max_length=200, validators=[validate_words]
    )
    operation = OperationField(label=_("Operation"))
    source = forms.ChoiceField(
        label=_("Source"), choices=[("", _("Any source")), *SOURCES]
    )
    since = BoundaryField(label=_("From"))
    until = BoundaryField(label=_("Before"), later=True)
    zone = forms.CharField(
        label=_("Time zone"), max_length=64, validators=[validate_zone]
    )
    outside = forms.BooleanField(label=_("Outside working hours"))
    whole = forms.BooleanField(label=_("A whole resource space"))

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        for field in self.fields.values():
            field.required = False
        # A shared link keeps its time zone, so that its times stay the same.
        named = zone_named(data.get("zone", ""))
        self.time_zone: ZoneInfo = named or timezone.get_current_timezone()
        with timezone.override(self.time_zone):
            self.full_clean()

    @property
    def active(self) -> dict[str, Any]:
        """The values of the filters that are set; a time zone only with a time."""
        values = {name: value for name, value in self.cleaned_data.items() if value}
        if not {"since", "until"} & values.keys():
            values.pop("zone", None)
        return values

    def chips(self) -> list[tuple[str, Any, Any]]:
        """Return name, label and displayed value of each active filter."""
        return [
            (name, self.fields[name].label, self.displayed(name))
            for name in self.active
            if name != "zone"
        ]

    def displayed(self, name: str) -> Any:
        value, field = self.cleaned_data[name], self.fields[name]
        match field:
            case forms.ChoiceField():
                return dict(field.choices)[value]  # type: ignore[arg-type]
            case BoundaryField():
                at = value.astimezone(self.time_zone)
                offset = f" {at:%:z}" if occurs_twice(at) else ""
                return f"{at:%Y-%m-%d %H:%M}{offset} {self.time_zone.key}"
            case OperationField():
                return f"OP-{value}"
            case forms.BooleanField():
                return ""
        return value

    def time_input(self, name: str) -> tuple[str, str]:
        """Return the type and the value of an input that keeps a boundary as it is.

        A browser's picker takes neither an offset nor what is not a time.
        """
        at = self.cleaned_data.get(name)
        if not at:
            return ("text" if name in self.errors else PICKER), self.data.get(name, "")
        local = at.astimezone(self.time_zone)
        picked = local.replace(tzinfo=None, fold=0, second=0, microsecond=0)
        field = self.fields[name]
        assert isinstance(field, BoundaryField)
        if resolve_local_time(picked, self.time_zone, later=field.later) != at:
            return "text", local.isoformat()
        return PICKER, picked.isoformat(timespec="minutes")

    def query(self, **more: str) -> str:
        """Return a query string that gives every reader the same events."""
        values = {name: self.data[name] for name in self.active} | more
        if {"since", "until"} & values.keys():
            values["zone"] = self.time_zone.key
        return urlencode(values)
