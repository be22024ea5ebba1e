"""How the audit trail's times, events and codes are shown."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

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


@register.filter
def spoken(form: FilterForm, name: str) -> str:
    """A time that was asked for, as the field of a form takes it."""
    at = getattr(form, "cleaned_data", {}).get(name)
    return f"{at.astimezone(form.spoken):%Y-%m-%dT%H:%M}" if at else ""


@register.simple_tag
def code_meaning(code: str) -> Any:
    return explain(code).meaning if code else ""
