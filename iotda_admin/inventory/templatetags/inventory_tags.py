"""The age of the inventory."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils.timesince import timesince
from django.utils.timezone import now
from django.utils.translation import gettext as _

from iotda_admin.inventory.drift import CHANGES
from iotda_admin.inventory.mirror import mirrors
from iotda_admin.inventory.models import MirrorState, SyncRun
from iotda_admin.inventory.sync import seconds_until_sync, sees_counts
from iotda_admin.operations.web.progress import format_duration

register = template.Library()


@register.inclusion_tag("inventory/line.html", takes_context=True)
def freshness(context: template.Context) -> dict[str, Any]:
    """Show how old the inventory is, with a button to sync it."""
    last = SyncRun.objects.first()
    waits = last and last.state == SyncRun.State.REQUESTED
    left = last.seconds_left() if last else None
    parts = MirrorState.objects.in_bulk()
    times = [part.fresh_at for part in parts.values() if part.fresh_at]
    fresh_at = max(times) if times else last and SyncRun.fresh_at()
    minute = timedelta(minutes=1)
    request = context["request"]
    return {
        "fresh_at": fresh_at,
        "age": timesince(fresh_at) if fresh_at and now() - fresh_at > minute else "",
        "last": last,
        "wait": seconds_until_sync(requested=True) if waits else 0,
        "counted": last and sees_counts(request.user),
        "left": format_duration(left) if left is not None else "",
        "failed_parts": failed_parts(parts),
        # Those that the last sync could not store.
        "skipped_rows": sum(part.skipped for part in parts.values()),
        "request": request,
    }


@register.filter
def duration(seconds: float) -> str:
    return format_duration(seconds)


@register.filter
def drift_label(change: str) -> str:
    return str(CHANGES.get(change, change))


def failed_parts(states: Mapping[str, MirrorState]) -> list[str]:
    """Say what the last sync could not read and how old it is, once for each reason."""
    titles: dict[tuple[str, datetime | None], list[str]] = {}
    for mirror in mirrors():
        state = states.get(mirror.table)
        if state and state.error:
            same = titles.setdefault((state.error, state.fresh_at), [])
            same.append(str(mirror.title))
    texts = []
    for (error, fresh_at), parts in titles.items():
        text = (
            _("%(parts)s: not synced, %(age)s old. %(error)s")
            if fresh_at
            else _("%(parts)s: not synced yet. %(error)s")
        )
        age = timesince(fresh_at) if fresh_at else ""
        texts.append(text % {"parts": ", ".join(parts), "age": age, "error": error})
    return texts
