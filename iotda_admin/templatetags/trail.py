"""How the audit trail's times, events and codes are shown."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.roles import PERMISSIONS
from iotda_admin.audit.models import Event
from iotda_admin.audit.search.filters import OUTCOMES, SOURCES, AuditFilterForm
from iotda_admin.operations.error_codes import explain_code, is_platform_code
from iotda_admin.operations.models import Target
from iotda_admin.operations.verbs import get_verb

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
        return get_verb(verb).title
    except KeyError:
        return verb


@register.filter
def source_words(source: str) -> Any:
    return dict(SOURCES).get(source, source)


@register.filter
def outcomes_in_words(outcome: str) -> str:
    """The trail keeps "2 ok, 1 failed" and "denied"."""
    pieces = [piece.rpartition(" ") for piece in outcome.split(", ")]
    words = [
        (number, str(STATES.get(state, state))) for number, _space, state in pieces
    ]
    return ", ".join(
        f"{number} {word.lower()}" if number else word for number, word in words
    )


@register.filter
def said(event: Event) -> str:
    """What it is about; a change of an account with our words for what was changed."""
    told = changes_of(event)
    if not told:
        return event.summary
    what = WHAT.get(event.detail.get("what"), "")
    return f"{what} {event.detail.get('name', '')}: " + "; ".join(
        f"{name}: {text}" for name, text in told
    )


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
    # Of a user or a role, as the pages call them on which they are changed.
    "username": _("User name"),
    "email": _("Email address"),
    "is_active": _("Active"),
    "is_staff": _("Staff status"),
    "is_superuser": _("Superuser status"),
    "groups": _("Roles"),
    "permissions": _("Rights"),
    "users": _("Users"),
    "user_permissions": _("Rights of their own"),
    "limit": _("Most targets of one operation"),
    "spaces": _("Resource spaces"),
}
SAID_ELSEWHERE = {"what", "name", "changes"}
WHAT = {"user": _("User"), "role": _("Role")}
STATES: dict[str, Any] = dict(Target.State.choices) | dict(OUTCOMES)


@register.simple_tag
def details(event: Event) -> list[tuple[Any, str]]:
    """What only this kind of event tells, in words."""
    told = [
        (name, plain(value))
        for name, value in event.detail.items()
        if name not in SAID_ELSEWHERE
    ]
    return changes_of(event) + [(called(name), text) for name, text in told if text]


def changes_of(event: Event) -> list[tuple[Any, str]]:
    """What was before and is now, of a user or a role."""
    changes = event.detail.get("changes", {})
    return [
        (
            called(name),
            plain(new) if name == "password" else f"{plain(old)} → {plain(new)}",
        )
        for name, (old, new) in changes.items()
    ]


def called(name: str) -> Any:
    return DETAILS.get(name) or name.replace("_", " ").capitalize()


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
    declared = PERMISSIONS.get(str(value))
    return str(declared.name if declared else value)


@register.filter
def spoken(form: AuditFilterForm, name: str) -> str:
    """A time that was asked for, as the field of a form takes it."""
    at = getattr(form, "cleaned_data", {}).get(name)
    return f"{at.astimezone(form.spoken):%Y-%m-%dT%H:%M}" if at else ""


@register.simple_tag
def code_meaning(code: str) -> Any:
    return explain_code(code).meaning if code else ""


register.filter(is_platform_code)


@register.simple_tag
def error_code(code: str) -> Any:
    """IoTDA's as it is, to look it up; ours are words of the program, so their meaning."""
    return (
        format_html("<code>{}</code>", code)
        if is_platform_code(code)
        else code_meaning(code)
    )
