"""Audit events in words."""

from typing import Any

from django import template
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.roles import PERMISSIONS
from iotda_admin.audit.models import Event
from iotda_admin.audit.search.filters import SOURCES, AuditFilterForm

register = template.Library()

KINDS = dict(Event.Kind.choices)
# The labels of the keys in ``Event.detail``.
DETAILS = {
    "addresses": _("Addresses"),
    "batch_task": _("IoTDA's batch task"),
    "by_task": _("By a batch task"),
    "cannot_read": _("Cannot be read"),
    "code": _("Error code"),
    "counts": _("Outcomes"),
    "id": _("ID"),
    "ids": _("Target IDs"),
    "message": _("IoTDA said"),
    "method": _("Method"),
    "needs": _("Required permission"),
    "not_sent": _("Not sent"),
    "path": _("Address"),
    "requests": _("Requests"),
    "session": _("Session"),
    "status": _("HTTP status"),
    "target_count": _("Number of targets"),
    "targets": _("Targets"),
    "user_agent": _("Browser"),
    # Users and roles, as on the pages that change them.
    "username": _("User name"),
    "email": _("Email address"),
    "is_active": _("Active"),
    "is_staff": _("Staff status"),
    "is_superuser": _("Superuser status"),
    "groups": _("Roles"),
    "permissions": _("Permissions"),
    "users": _("Users"),
    "user_permissions": _("Own permissions"),
    "limit": _("Most targets of one operation"),
    "spaces": _("Resource spaces"),
}
type LabelledValues = list[tuple[Any, str]]
# Keys of the detail that the summary of the event shows.
IN_SUMMARY = {"what", "name", "changes"}
ACCOUNT_TYPES = {"user": _("User"), "role": _("Role")}


@register.filter
def kind_label(kind: str) -> Any:
    return KINDS.get(kind, kind)


@register.filter
def source_label(source: str) -> Any:
    return dict(SOURCES).get(source, source)


@register.filter
def event_summary(event: Event) -> str:
    """Return the summary of an event; for a changed account, with the changes."""
    changes = [f"{label}: {text}" for label, text in changes_of(event)]
    if not changes:
        return event.summary
    account_type = ACCOUNT_TYPES.get(event.detail.get("what"), "")
    return f"{account_type} {event.detail.get('name', '')}: {'; '.join(changes)}"


@register.simple_tag
def event_details(event: Event) -> LabelledValues:
    """Return the labels and values of the detail of an event."""
    return changes_of(event) + [
        (detail_label(name), value_text(value))
        for name, value in event.detail.items()
        if name not in IN_SUMMARY and value != {}
    ]


def changes_of(event: Event) -> LabelledValues:
    """Return what changed on a user or a role: label, old and new value."""
    changes = event.detail.get("changes", {})
    return [
        (
            detail_label(name),
            value_text(new)
            if name == "password"
            else f"{value_text(old)} → {value_text(new)}",
        )
        for name, (old, new) in changes.items()
    ]


def detail_label(name: str) -> Any:
    return DETAILS.get(name) or name.replace("_", " ").capitalize()


def value_text(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{value_text(v)} {name}" for name, v in value.items())
        case list():
            return ", ".join(map(value_text, value)) or gettext("none")
        case bool():
            return gettext("yes") if value else gettext("no")
        case None | "":
            return gettext("none")
    permission = PERMISSIONS.get(str(value))
    return str(permission.name if permission else value)


@register.filter
def time_input(form: AuditFilterForm, name: str) -> tuple[str, str]:
    """Return the type and the value of the input of a time."""
    return form.time_input(name)
