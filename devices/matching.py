"""All devices of a filter: as the targets of a change, or as CSV."""

from collections.abc import Iterator
from itertools import batched

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict, StreamingHttpResponse
from django.views.decorators.http import require_safe

from devices.finding import DeviceList, Sort
from devices.forms import FilterForm
from devices.freezes import FrozenState, frozen_states
from devices.models import Device
from iotda_admin.access.scope import AnyUser
from iotda_admin.audit.record import record_export_event
from iotda_admin.core.csv_export import csv_response
from iotda_admin.core.id_import import list_as_text
from iotda_admin.core.ids import is_id
from iotda_admin.operations.web.export import utc_cell

# The field of a form that asks for all devices of a filter, given as a query string.
FIELD = "matching"
COLUMNS = [
    "device_id",
    "name",
    "node_id",
    "status",
    "node_type",
    "gateway_id",
    "product_id",
    "product_name",
    "app_id",
    "app_name",
]
FROZEN_COLUMNS = [
    "frozen_since",
    "frozen_by",
    "frozen_reason",
    "frozen_ticket",
    "frozen_operation",
]
ROWS_AT_ONCE = 1000


def devices_of_filter(query: QueryDict, user: AnyUser) -> QuerySet[Device]:
    """Return the devices of a filter that the user may see, by ID."""
    found = DeviceList(FilterForm(query, user=user), Sort())
    rows = found.many.rows() if found.few is None else found.few
    return rows.order_by("pk")


def with_matching(data: QueryDict, user: AnyUser) -> QueryDict:
    """Return the form with the devices of its filter as a list in place of the filter.

    From here on the list stays the same, whatever a sync changes. One more than the
    limit is enough for the form to refuse it. Devices that IoTDA cannot be asked for
    are left out, as the list offers no box for them.
    """
    query = data.get(FIELD)
    if query is None:
        return data
    ids = devices_of_filter(QueryDict(query), user).values_list("pk", flat=True)
    listed = [id for id in ids[: settings.TARGETS_LIMIT + 1] if is_id(id)]
    fields = data.copy()
    for name in (FIELD, "target"):
        fields.pop(name, None)
    fields["pasted"] = list_as_text(listed)
    return fields


@require_safe
def devices_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Return the list as filtered as CSV, in the order of the IDs. It is audited."""
    form = FilterForm(request.GET, user=request.user)
    chosen = form.cleaned_data if form.is_valid() else request.GET.dict()
    filters = {name: value for name, value in chosen.items() if value}
    record_export_event(request, "devices as CSV", filters)
    rows = devices_of_filter(request.GET, request.user)
    columns = [*COLUMNS, "read_at", *FROZEN_COLUMNS]
    return csv_response("devices.csv", columns, device_cells(rows))


def device_cells(rows: QuerySet[Device]) -> Iterator[tuple[object, ...]]:
    found = rows.only(*COLUMNS, "read_at").iterator(chunk_size=ROWS_AT_ONCE)
    for devices in batched(found, ROWS_AT_ONCE):
        frozen = frozen_states(devices)
        for each in devices:
            cells = (getattr(each, name) for name in COLUMNS)
            yield *cells, utc_cell(each.read_at), *frozen_cells(frozen.get(each.pk))


def frozen_cells(frozen: FrozenState | None) -> tuple[object, ...]:
    if frozen is None:
        return ("",) * len(FROZEN_COLUMNS)
    operation = f"OP-{frozen.operation}" if frozen.operation else ""
    about = (frozen.who, frozen.reason, frozen.ticket, operation)
    return utc_cell(frozen.since), *about
