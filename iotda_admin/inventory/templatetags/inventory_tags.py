"""The age of the inventory."""

from datetime import timedelta
from typing import Any

from django import template
from django.utils.timesince import timesince
from django.utils.timezone import now

from iotda_admin.access.scope import user_spaces
from iotda_admin.inventory.models import SyncRun

register = template.Library()


@register.inclusion_tag("inventory/line.html", takes_context=True)
def freshness(context: template.Context) -> dict[str, Any]:
    """Show how old the inventory is, with a button to sync it."""
    last = SyncRun.objects.first()
    fresh_at = SyncRun.fresh_at()
    age = (
        timesince(fresh_at)
        if fresh_at and now() - fresh_at > timedelta(minutes=1)
        else ""
    )
    syncing = last is not None and last.state in (
        SyncRun.State.REQUESTED,
        SyncRun.State.RUNNING,
    )
    return {
        "fresh_at": fresh_at,
        "age": age,
        "syncing": syncing,
        "last": last,
        # The total is only for users who may see every device.
        "counted": last.rows
        if last and user_spaces(context["request"].user) is None
        else 0,
        "failed": last is not None and last.state == SyncRun.State.FAILED,
        "request": context["request"],
    }
