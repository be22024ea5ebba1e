from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import trigger_client_event

from devices.finding import DeviceList, Sort
from devices.forms import FilterForm
from devices.freezes import frozen_states
from devices.matching import with_matching
from devices.models import Device
from devices.ranges import Number
from devices.search import read_unknown_device
from devices.selection import DeviceSelection, select_devices
from devices.sync import read_device
from devices.targets import device_rows, devices_behind, known_devices
from devices.verbs import DeviceVerb, permitted_verbs
from iotda_admin.access.actor import actor_of
from iotda_admin.access.kept_forms import keeps_form
from iotda_admin.access.scope import (
    AnyUser,
    can_see_space,
    in_scope,
    user_spaces,
)
from iotda_admin.core.concurrency import limit_concurrency
from iotda_admin.core.http import render, wants_fragment
from iotda_admin.inventory.drift import drift_history
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.counts import overall_outcome
from iotda_admin.operations.models import Operation
from iotda_admin.operations.permissions import Decision, authorize, covers_operation
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.search import operations_named
from iotda_admin.operations.services import (
    OperationRejected,
    find_by_key,
    record_denied_preview,
    submit,
)
from iotda_admin.operations.web.forms import ChangeForm, TargetsForm, valid_ids
from iotda_admin.operations.web.headline import with_counts
from iotda_admin.operations.web.presenters import result_context, target_history
from iotda_admin.operations.web.responses import dialog_response, operation_response
from iotda_admin.rate.connection import client
from iotda_admin.rate.page_reads import page_client, status_of_stored

OPERATIONS_SHOWN = 5
BEHIND_SHOWN = 20


@require_safe
def devices(request: HttpRequest) -> HttpResponse:
    form = FilterForm(request.GET, user=request.user)
    sort, error = Sort.of(request), None
    found = DeviceList(form, sort)
    page = found.page(request)
    if not page.items:
        try:
            if read_unknown_device(form.query, request.user):
                found = DeviceList(form, sort)
                page = found.page(request)
        except IotdaError as refusal:
            error = refusal
    alone, shown = not (page.next or page.previous), len(page.items)
    named = operations_named(form.query, request.user)
    operations = list(named[: OPERATIONS_SHOWN + 1])
    context = {
        "form": form,
        "page": page,
        # The number of a search may be less than what the page shows.
        "number": Number(shown) if alone else found.number.at_least(shown),
        "sort": sort,
        "error": error,
        "operations": with_counts(operations[:OPERATIONS_SHOWN]),
        "more_operations": len(operations) > OPERATIONS_SHOWN,
    }
    return render(request, "devices/devices.html", context, part="list")


@limit_concurrency("iotda reads")
@require_safe
def device(request: HttpRequest, device_id: str) -> HttpResponse:
    """Read the device from IoTDA; if that fails, show the inventory's row and say so."""
    error = live = None
    status, user = 200, request.user
    try:
        with page_client() as iotda:
            live, row = read_device(iotda, device_id)
    except IotdaError as refusal:
        error = refusal
        (row,) = device_rows([device_id])
    history = [] if row.app_id else target_history(device=device_id)
    if error:
        known = bool(row.app_id or history)
        if error.not_found and not known:
            raise Http404(_("IoTDA knows no device with this ID.")) from error
        status = status_of_stored(error, known=known)
    if history:
        # It is no longer in the inventory: its operations have its name and its space.
        history = [each for each in history if covers_operation(user, each.operation)]
        if not history:
            raise Http404
        row.name = history[0].name
    elif not can_see_space(user, row.app_id):
        raise Http404
    else:
        ids = {"device": device_id, "product": row.product_id, "app": row.app_id}
        history = target_history(**ids)
    context = {
        "device": row,
        "live": live,
        "error": error,
        "history": history,
        **frozen_by(row),
        **behind_gateway(row, user),
        "drifts": [
            drift
            for drift in drift_history("device", device_id)
            if can_see_space(user, drift.event.space)
        ],
    }
    return render(request, "devices/device.html", context, status=status)


def frozen_by(device: Device) -> dict[str, Any]:
    """Return since when a frozen device is so, and the operation that froze it."""
    frozen = frozen_states([device]).get(device.pk)
    number = frozen.operation if frozen else None
    by = Operation.objects.filter(pk=number).first() if number else None
    return {"frozen": frozen, "frozen_by": by}


def behind_gateway(gateway: Device, user: AnyUser) -> dict[str, Any]:
    """Return the devices behind a gateway that the user may see: the first, and how many."""
    rows = in_scope(devices_behind([gateway.pk]), user).only("name", "status")
    first = list(rows.order_by("name", "pk")[:BEHIND_SHOWN])
    return {"behind": first, "behind_total": rows.count() if first else 0}


def require_permission(request: HttpRequest, verb: DeviceVerb) -> None:
    if not request.user.has_perm(verb.permission_for("device")):
        raise PermissionDenied


@keeps_form
@require_http_methods(["GET", "HEAD", "POST"])
def change_device(
    request: HttpRequest, device_id: str, verb: DeviceVerb
) -> HttpResponse:
    """Confirm the change of one device in a dialog, then make it."""
    require_permission(request, verb)
    form = ChangeForm(request.POST if request.method == "POST" else None)
    # The same form sent twice leads to its operation, though the row may be gone.
    sent = form.is_valid() and find_by_key(form.cleaned_data["key"], actor_of(request))
    row = in_scope(Device.objects.filter(pk=device_id), request.user).first()
    if row is None and not sent:
        raise Http404
    preview = OperationRequest.preview(verb.name, [device_id])
    confirmation = "" if sent else verb.confirmation(preview, [device_id])
    context = {
        "device": row or Device(device_id=device_id),
        "verb": verb,
        "form": form,
        "behind": verb.words_behind([device_id], request.user),
        "confirmation": confirmation,
    }
    status = 422 if form.is_bound else 200
    if form.is_filled_in:
        form.lenient()
        status = 200
    elif form.is_valid() and form.confirms(confirmation):
        try:
            change = form.request_for(verb, [device_id], "device")
            operation = submit(change, actor_of(request), client())
            return changed_response(request, operation, verb, device_id)
        except OperationRejected as refusal:
            context["refusal"], status = refusal, refusal.status
    return dialog_response(request, "devices/change.html", context, status)


def changed_response(
    request: HttpRequest, operation: Operation, verb: DeviceVerb, device_id: str
) -> HttpResponse:
    """Return the changed row of the list; in the dialog, why it did not change."""
    if not wants_fragment(request) or not verb.row_stays:
        return operation_response(request, operation)
    outcome = overall_outcome(operation)
    if not outcome.good:
        context = result_context(operation)
        template = "operations/result_dialog.html"
        return dialog_response(request, template, context, outcome.http_status)
    (row,) = device_rows([device_id])
    context = {
        "device": row,
        "rows": [row],
        "verb": verb,
        "operation": operation,
        "outcome": outcome,
    }
    response = render(request, "devices/changed.html", context)
    return trigger_client_event(response, "dialog:close")


@keeps_form
@require_http_methods(["GET", "HEAD", "POST"])
def change_devices(
    request: HttpRequest, verb: DeviceVerb
) -> HttpResponse | StreamingHttpResponse:
    """Show exactly which devices will be changed, then change exactly those."""
    require_permission(request, verb)
    if request.method != "POST":
        return redirect("devices:devices")
    lookup = verb.inventory.lookup("device", request.user)
    data = with_matching(request.POST, request.user)
    form = TargetsForm(data, request.FILES, lookup=lookup)
    if form.unreadable or ("upload" in form.data and not form.targets()):
        return paste_response(request, form, form.status)
    if "csv" in form.data:
        selection, _decision = read_selection(request, verb, form)
        return selection.csv(form.data["csv"])
    if is_confirmed(form) and form.is_valid():
        change = form.request_for(verb, form.targets(), "device")
        sent = find_by_key(change.key, actor_of(request))
        if sent or form.confirms(verb.confirmation(change, change.ids)):
            try:
                operation = submit(change, actor_of(request), client())
                return operation_response(request, operation)
            except OperationRejected as refusal:
                return selection_response(request, verb, form, refusal)
    return selection_response(request, verb, form)


def selection_response(
    request: HttpRequest,
    verb: DeviceVerb,
    form: TargetsForm,
    refusal: OperationRejected | None = None,
) -> HttpResponse:
    """Show the selected devices, and why the form that confirms them was not accepted."""
    confirmed = is_confirmed(form)
    status = refusal.status if refusal else form.status if confirmed else 200
    selection, decision = read_selection(request, verb, form)
    changing = selection.changing
    preview = OperationRequest.preview(verb.name, [*changing, *selection.cannot])
    context = {
        "form": form if confirmed else form.lenient(),
        "verb": verb,
        "selection": selection,
        "behind": verb.words_behind(changing, request.user),
        "by_task": verb.goes_by_task(len(changing)),
        "confirmation": verb.confirmation(preview, changing) if changing else "",
        "refusal": refusal,
        "forbidden": decision.message,
        "outside": decision.outside,
    }
    if not decision.allowed and not confirmed:
        status = 403
        record_denied_preview(preview, actor_of(request), decision)
    return render(request, "devices/change_many.html", context, status=status)


def is_confirmed(form: TargetsForm) -> bool:
    """Return whether the form confirms its devices, or else asks for other ones."""
    return "key" in form.data and "leave_out" not in form.data


def read_selection(
    request: HttpRequest, verb: DeviceVerb, form: TargetsForm
) -> tuple[DeviceSelection, Decision]:
    ids = valid_ids([*(form["target"].data or []), *form.read_ids()])
    # Others are not offered it, and would learn which IDs exist in other spaces.
    sees_all = user_spaces(request.user) is None
    if sees_all and form.data.get("leave_out") == "unknown":
        known = set(known_devices(ids).values_list("pk", flat=True))
        ids = [id for id in ids if id in known]
    preview = OperationRequest.preview(verb.name, ids)
    decision = authorize(request.user, preview)
    selection = select_devices(verb, preview, request.user, decision.outside)
    if selection.cannot and decision.denied_by == "limit":
        # The limit counts without the devices that are left out.
        fewer = OperationRequest.preview(verb.name, selection.changing)
        decision = authorize(request.user, fewer)
    return selection, decision


@require_safe
def paste(request: HttpRequest) -> HttpResponse:
    return paste_response(request, TargetsForm())


def paste_response(
    request: HttpRequest, form: TargetsForm, status: int = 200
) -> HttpResponse:
    """Show the form for a list of device IDs to be changed, with the user's verbs."""
    permitted = permitted_verbs(request.user)
    verbs = [verb for verb in permitted if isinstance(verb, DeviceVerb)]
    if not verbs:
        raise PermissionDenied
    context = {"form": form, "text": form.text, "verbs": verbs}
    return render(request, "devices/paste.html", context, status=status)
