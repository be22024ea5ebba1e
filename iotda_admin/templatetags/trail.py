"""How the audit trail's times, events and codes are shown."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from iotda_admin.audit.filters import FilterForm
from iotda_admin.audit.models import Event
from iotda_admin.operations.codes import explain
from iotda_admin.operations.verbs import verb_named

register = template.Library()
KINDS: dict[str, Any] = dict(Event.Kind.choices)


@register.simple_tag
def both_times(at: datetime) -> SafeString:
    """In the reader's zone, UTC beside it."""
    here, there = timezone.localtime(at), at.astimezone(UTC)
    day = "" if here.date() == there.date() else f"{there:%Y-%m-%d} "
    return format_html(
        '<time datetime="{}">{}</time><span class="sub">{} UTC</span>',
        f"{there:%Y-%m-%dT%H:%M:%SZ}",
        f"{here:%Y-%m-%d %H:%M:%S}",
        f"{day}{there:%H:%M:%S}",
    )


@register.simple_tag
def reader_zone() -> str:
    """Its name and how far it is from UTC now."""
    now = timezone.localtime()
    offset = now.strftime("%z")
    name = timezone.get_current_timezone_name()
    return "UTC" if name == "UTC" else f"{name} (UTC{offset[:3]}:{offset[3:]})"


@register.filter
def kind_words(kind: str) -> Any:
    return KINDS.get(kind, kind)


@register.filter
def change_words(verb: str) -> Any:
    try:
        return verb_named(verb).title
    except KeyError:
        return verb


# What the details of an event are called for a reader.
DETAILS: dict[str, Any] = {
    "batch_task": _("IoTDA's batch task"),
    "by_task": _("By a batch task"),
    "cannot_read": _("Cannot be read"),
    "code": _("Error code"),
    "counts": _("Outcomes"),
    "id": _("Its number"),
    "ids": _("Target IDs"),
    "message": _("IoTDA said"),
    "method": _("Method"),
    "needs": _("Needed right"),
    "not_sent": _("Not sent"),
    "path": _("Address"),
    "status": _("HTTP status"),
    "targets": _("Targets"),
}
SAID_ELSEWHERE = {"what", "name"}


@register.simple_tag
def details(event: Event) -> list[tuple[Any, str]]:
    """What only this kind of event tells, in words."""
    facts = dict(event.detail)
    changes = facts.pop("changes", {})
    told = [(name, f"{plain(old)} → {plain(new)}") for name, (old, new) in changes.items()]
    told += [(name, plain(value)) for name, value in facts.items() if name not in SAID_ELSEWHERE]
    return [(DETAILS.get(name, name.replace("_", " ").capitalize()), text) for name, text in told if text]


def plain(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{plain(each)} {name}" for name, each in value.items())
        case list():
            return ", ".join(map(plain, value)) or gettext("none")
        case bool():
            return gettext("yes") if value else gettext("no")
        case None | "":
            return gettext("none")
    return str(value)


@register.filter
def spoken(form: FilterForm, name: str) -> str:
    """A time that was asked for, as the field of a form takes it."""
    at = getattr(form, "cleaned_data", {}).get(name)
    return f"{at.astimezone(form.spoken):%Y-%m-%dT%H:%M}" if at else ""


@register.simple_tag
def code_meaning(code: str) -> Any:
    return explain(code).meaning if code else ""
