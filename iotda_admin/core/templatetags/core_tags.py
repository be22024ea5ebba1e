"""Icons, badges, times and query strings, the same on every page."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import get_current_timezone_name, localtime
from django.utils.translation import gettext as _

from iotda_admin.core.ids import is_id, object_url
from iotda_admin.core.tickets import ticket_url

register = template.Library()

# static/app.js sets it.
THEME_COOKIE = "iotda_admin_theme"

# Icon and label of each state, because colour alone is not accessible. The tag
# modules of the apps that define the states add them.
BADGES: dict[str, tuple[str, Any]] = {}


@register.simple_tag
@cache
def icon(name: str) -> SafeString:
    """Return one of the icons in parts/icons.html, which each page contains."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="#i-{}"/></svg>', name
    )


@register.simple_tag(takes_context=True)
def theme(context: template.Context) -> str:
    """Return the theme that the reader has chosen: light, dark, or "" for the system's."""
    request = context.get("request")
    chosen = request.COOKIES.get(THEME_COOKIE, "") if request else ""
    return chosen if chosen in ("light", "dark") else ""


@register.filter
def sendable(id: str) -> bool:
    """Return whether IoTDA can be asked for this ID. It shows others, which are odd."""
    return is_id(id)


register.simple_tag(object_url)


@register.simple_tag
def ticket(ticket: str) -> SafeString:
    """Return a ticket, with a link to it if its system has addresses."""
    url, shown = ticket_url(ticket), format_html("<bdi>{}</bdi>", ticket)
    if not url:
        return shown
    return format_html('<a href="{}" rel="noreferrer external">{}</a>', url, shown)


@register.simple_tag
def ticket_hint() -> str:
    return _("For example %(ticket)s.") % {"ticket": settings.TICKET_EXAMPLE}


@register.simple_tag
def object_link(view: str, id: str, name: str = "", title: str = "") -> SafeString:
    """Return the name of an object with a link to its page, if that has an address."""
    url, shown = object_url(view, id), format_html("<bdi>{}</bdi>", name or id)
    if not url:
        return shown
    hint = format_html(' title="{}"', title) if title else ""
    return format_html('<a href="{}"{}>{}</a>', url, hint, shown)


@register.simple_tag
def state_icon(state: str) -> str:
    return icon(BADGES.get(state, ("unknown", ""))[0])


@register.simple_tag
def badge(state: str) -> SafeString:
    """Return the badge of a state. A state without one is shown as it is."""
    name, label = BADGES.get(state, ("unknown", state or _("Not synced yet")))
    return format_html(
        '<span class="badge" data-state="{}">{}{}</span>', state, icon(name), label
    )


@register.simple_tag
def moment(at: datetime | None, seconds: str = "") -> SafeString | str:
    """Return a time in the reader's time zone.

    A script says how long ago a recent time was. With ``seconds`` it stays as it is.
    """
    if at is None:
        return ""
    local = localtime(at)
    shown = f"{local:%Y-%m-%d %H:%M:%S}" if seconds else f"{local:%Y-%m-%d %H:%M}"
    return format_html(
        '<time datetime="{}" title="{}" {}>{}{}</time>',
        f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        exact_time(at),
        "" if seconds else "data-age",
        shown,
        " UTC" if local.tzname() == "UTC" else "",
    )


@register.filter
def exact_time(at: datetime) -> str:
    """Return a time in the reader's time zone, with its offset from UTC."""
    local = localtime(at)
    offset = f"{local:%:z}" if local.utcoffset() else ""
    return f"{local:%Y-%m-%d %H:%M:%S} UTC{offset}"


@register.simple_tag
def platform_moment(text: str) -> SafeString | str:
    """Return a time that IoTDA wrote, in either of its formats; both are in UTC.

    Any other text is shown as it is.
    """
    try:
        at = datetime.fromisoformat(text)
        return moment(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return text


@register.simple_tag
def local_and_utc(at: datetime) -> SafeString:
    """Return a time in the reader's time zone, and in UTC if that differs."""
    local, utc = localtime(at), at.astimezone(UTC)
    shown = format_html(
        '<time datetime="{}">{}</time>',
        f"{utc:%Y-%m-%dT%H:%M:%SZ}",
        f"{local:%Y-%m-%d %H:%M:%S}",
    )
    if not local.utcoffset():
        return shown
    day = "" if local.date() == utc.date() else f"{utc:%Y-%m-%d} "
    return shown + format_html(
        '<span class="sub">{} UTC</span>', f"{day}{utc:%H:%M:%S}"
    )


@register.simple_tag
def time_zone_label() -> str:
    """Return the reader's time zone with its current UTC offset."""
    name, offset = get_current_timezone_name(), f"{localtime():%:z}"
    return "UTC" if name == "UTC" else f"{name} (UTC{offset})"


@register.filter
def get(mapping: dict[str, Any], key: str) -> Any:
    return mapping.get(key, 0)


@register.simple_tag(takes_context=True)
def without(context: template.Context, name: str) -> str:
    """Return the query string of this page without one filter, for the first page."""
    query = context["request"].GET.copy()
    for parameter in (name, "after", "before"):
        query.pop(parameter, None)
    return f"?{query.urlencode()}"
