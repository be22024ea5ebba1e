"""All devices of a filter: as the targets of a change, or as CSV."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from django.conf import settings
from django.http import HttpRequest, QueryDict, StreamingHttpResponse
from django.views.decorators.http import require_safe

from devices.finding import DeviceList, Sort
from devices.forms import FilterForm
from devices.freezes import FrozenState, frozen_states
from devices.models import Device
from devices.ranges import Edge
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
ROWS_AT_ONCE = 2000


def pages_of_filter(query: QueryDict, user: AnyUser) -> Iterator[list[str]]:
    """Yield the IDs of a filter's devices that the user may see, in their order."""
    found, edge = DeviceList(FilterForm(query, user=user), Sort()), None
    while page := found.fetch(edge, False, ROWS_AT_ONCE):
        yield [device.pk for device in page]
        edge = Edge("", page[-1].pk)


def with_matching(data: QueryDict, user: AnyUser) -> QueryDict:
    """Return the form with the devices of its filter as a list in place of the filter.

    From here on the list stays the same, whatever a sync changes. One more than the
    limit is enough for the form to refuse it. Devices that IoTDA cannot be asked for
    are left out, as the list offers no box for them.
    """
    query = data.get(FIELD)
    if query is None:
        return data
    ids = chain.from_iterable(pages_of_filter(QueryDict(query), user))
    listed = list(islice(filter(is_id, ids), settings.TARGETS_LIMIT + 1))
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
    pages = pages_of_filter(request.GET, request.user)
    columns = [*COLUMNS, "read_at", *FROZEN_COLUMNS]
    return csv_response("devices.csv", columns, device_cells(pages))


def device_cells(pages: Iterable[list[str]]) -> Iterator[tuple[object, ...]]:
    for ids in pages:
        known = Device.objects.in_bulk(ids)
        devices = [known[id] for id in ids if id in known]
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
