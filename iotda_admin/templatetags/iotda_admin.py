"""Icons, badges and times, so that they look the same everywhere."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from django import template
from django.template.loader import get_template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.timezone import now
from django.utils.translation import gettext as _

from devices.models import Device
from iotda_admin.access.scope import user_spaces
from iotda_admin.health import workers
from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations import permissions
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web import followup_views, views
from iotda_admin.operations.web.ticket_text import render_ticket_text

register = template.Library()

# Colour never stands alone: each state has an icon and a word.
BADGES: dict[str, tuple[str, Any]] = {
    "ONLINE": ("online", Device.Status.ONLINE.label),
    "OFFLINE": ("offline", Device.Status.OFFLINE.label),
    "ABNORMAL": ("warning", Device.Status.ABNORMAL.label),
    "INACTIVE": ("inactive", Device.Status.INACTIVE.label),
    "FROZEN": ("freeze", Device.Status.FROZEN.label),
    "pending": ("clock", Target.State.PENDING.label),
    "sent": ("sent", Target.State.SENT.label),
    "ok": ("check", Target.State.OK.label),
    "already": ("already", Target.State.ALREADY.label),
    "failed": ("cross", Target.State.FAILED.label),
    "unknown": ("unknown", Target.State.UNKNOWN.label),
    "skipped": ("skip", Target.State.SKIPPED.label),
    "cancelled": ("stop", Target.State.CANCELLED.label),
    "running": ("running", Operation.State.RUNNING.label),
    "done": ("check", Operation.State.DONE.label),
    "stopped": ("stop", Operation.State.STOPPED.label),
}


@register.simple_tag
@cache
def icon(name: str) -> str:
    return get_template(f"icons/{name}.svg").render()


@register.simple_tag
def state_icon(state: str) -> str:
    return icon(BADGES.get(state, ("unknown", ""))[0])


@register.simple_tag
def badge(state: str) -> SafeString:
    """A device status or an outcome. A value nobody has written down is shown as it came."""
    name, label = BADGES.get(state, ("unknown", state or _("Not read yet")))
    return format_html(
        '<span class="badge" data-state="{}">{}{}</span>', state, icon(name), label
    )


@register.simple_tag
def moment(at: datetime | None, seconds: str = "") -> SafeString | str:
    """A time: UTC as it is sent, the reader's own zone once the script has run; `seconds`: with them."""
    if at is None:
        return ""
    return format_html(
        '<time datetime="{}" data-local="{}">{} UTC</time>',
        f"{at:%Y-%m-%dT%H:%M:%SZ}",
        seconds,
        f"{at:%Y-%m-%d %H:%M:%S}",
    )


@register.simple_tag
def platform_moment(text: str) -> SafeString | str:
    """A time as the platform writes it, in either of its spellings; what is neither is shown as it came."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment(at.astimezone(UTC))


@register.simple_tag
def verb_title(name: str) -> Any:
    return get_verb(name).title


@register.simple_tag
def outcome_words(state: str) -> Any:
    return Target.State(state).label


@register.filter
def get(mapping: dict[str, Any], key: str) -> Any:
    return mapping.get(key, 0)


@register.simple_tag(takes_context=True)
def may_check(context: template.Context, operation: Operation) -> bool:
    return views.may_check(context["user"], operation)


@register.simple_tag(takes_context=True)
def may_see(context: template.Context, operation: Operation) -> bool:
    return permissions.can_see_operation(context["user"], operation)


@register.simple_tag(takes_context=True)
def covers(context: template.Context, operation: Operation) -> bool:
    """Whether all that it is about, its policy too, is in the reader's resource spaces."""
    return permissions.covers_operation(context["user"], operation)


@register.simple_tag
def request_ids(targets: Iterable[Target]) -> list[str]:
    """The first few of the calls that these targets went with."""
    return list(
        dict.fromkeys(t.chunk.request_id for t in targets if t.chunk.request_id)
    )[:3]


@register.simple_tag(takes_context=True)
def offers(context: template.Context, operation: Operation) -> dict[str, Any]:
    """Which follow-ups the one who looks is offered."""
    return followup_views.offers(context["user"], operation, context["counts"])


@register.simple_tag(takes_context=True)
def ticket_text(context: template.Context, operation: Operation) -> str:
    url = context["request"].build_absolute_uri(operation.get_absolute_url())
    return render_ticket_text(operation, context["counts"], context["causes"], url)


@register.simple_tag
def space_name(names: dict[str, str], app_id: str) -> str:
    return names.get(app_id, app_id)


@register.inclusion_tag("inventory/line.html", takes_context=True)
def freshness(context: template.Context) -> dict[str, Any]:
    """How old the inventory is, and a button to read it again."""
    runs = list(SyncRun.objects.all()[:1])
    last = runs[0] if runs else None
    fresh_at = SyncRun.fresh_at()
    age = (
        timesince(fresh_at)
        if fresh_at and now() - fresh_at > timedelta(minutes=1)
        else ""
    )
    reading = last is not None and last.state in (
        SyncRun.State.ASKED,
        SyncRun.State.RUNNING,
    )
    return {
        "fresh_at": fresh_at,
        "age": age,
        "reading": reading,
        "last": last,
        # How many devices there are is for those who may see them all.
        "counted": last.rows
        if last and user_spaces(context["request"].user) is None
        else 0,
        "failed": last is not None and last.state == SyncRun.State.FAILED,
        "request": context["request"],
    }


@register.inclusion_tag("parts/no_worker.html", takes_context=True)
def no_worker(context: template.Context) -> dict[str, Any]:
    return {"missing": not workers.alive().exists(), "user": context["user"]}


@register.simple_tag(takes_context=True)
def without(context: template.Context, name: str) -> str:
    """This page's query without one filter, from the first page on."""
    query = context["request"].GET.copy()
    for gone in (name, "after", "before"):
        query.pop(gone, None)
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def narrowed_to(context: template.Context, group: Any) -> str:
    """This page's query, narrowed to one group of failures."""
    query = context["request"].GET.copy()
    for gone in ("can", "after", "before", "asked"):
        query.pop(gone, None)
    query.update(group.key)
    return f"?{query.urlencode()}"
