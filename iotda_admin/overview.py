from collections import Counter
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from devices.counts import count_statuses
from devices.models import Device, Product, Space
from iotda_admin.access.scope import in_scope, user_spaces
from iotda_admin.core.http import render
from iotda_admin.failures.queries import COUNT_LIMIT, count_open_failures
from iotda_admin.failures.views import SEE_FAILURES
from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.permissions import (
    operations_in_queue,
    visible_operations,
)
from iotda_admin.operations.web.headline import with_counts


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    counts = count_statuses(user_spaces(request.user))
    operations = visible_operations(request.user)
    context = {
        "total": counts.total(),
        "bars": bars(counts),
        "frozen": counts[Device.Status.FROZEN],
        "products": in_scope(Product.objects.all(), request.user).count(),
        "spaces": in_scope(Space.objects.all(), request.user).count(),
        "last_run": SyncRun.objects.exclude(finished_at=None).first(),
        "recent": with_counts(list(operations[:8])),
        "running": operations.filter(state=Operation.State.RUNNING).count(),
        "paused": operations.filter(state=Operation.State.PAUSED).count(),
    }
    if request.user.has_perm(SEE_FAILURES):
        queue = operations_in_queue(request.user)
        unsettled = Target.objects.filter(
            operation__in=queue, state=Target.State.UNKNOWN
        )
        context |= {
            "may_see_failures": True,
            "failures": count_open_failures(queue),
            "count_limit": COUNT_LIMIT,
            "unknown": unsettled.count(),
            # The others cannot be read back: their targets were changed again since.
            "looked_up": unsettled.filter(chunk__state=Chunk.State.UNKNOWN).count(),
        }
    return render(request, "overview.html", context, part="overview")


def bars(counts: Counter[str]) -> list[dict[str, Any]]:
    """Return devices by status, as segments of a bar 100 wide."""
    labels = dict(Device.Status.choices)
    statuses = [*labels, *sorted(counts.keys() - labels)]
    result, x = [], 0.0
    for status in filter(counts.get, statuses):
        width = 100 * counts[status] / counts.total()
        result.append(
            {
                "status": status,
                "label": labels.get(status, status) or _("Not synced yet"),
                "count": counts[status],
                "x": f"{x:.2f}",
                "width": f"{max(width - 0.2, 0.1):.2f}",
            }
        )
        x += width
    return result
