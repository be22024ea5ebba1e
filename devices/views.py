from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import reswap, retarget, trigger_client_event

from devices.forms import FilterForm
from devices.models import Device
from devices.sync import store_device
from devices.targets import select_devices
from devices.verbs import DeviceVerb
from iotda_admin.access.actor import actor_of
from iotda_admin.access.scope import AnyUser, can_see_space, in_scope
from iotda_admin.core.http import render, wants_fragment
from iotda_admin.core.pagination import paginate
from iotda_admin.inventory.drift import drift_history
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.counts import overall_outcome
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.permissions import authorize, covers_operation
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.services import (
    OperationRejected,
    find_by_key,
    record_denied,
    submit,
)
from iotda_admin.operations.verbs import all_verbs
from iotda_admin.operations.web.forms import ChangeForm, TargetsForm, valid_ids
from iotda_admin.operations.web.presenters import result_context, target_history
from iotda_admin.operations.web.responses import operation_response
from iotda_admin.rate.connection import client, page_status


@require_safe
def devices(request: HttpRequest) -> HttpResponse:
    form = FilterForm(request.GET, user=request.user)
    found = form.devices()
    context = {"form": form, "page": paginate(found, request), "total": found.count()}
    return render(request, "devices/devices.html", context, part="list")


@require_safe
def device(request: HttpRequest, device_id: str) -> HttpResponse:
    """Read the device from IoTDA; if that fails, show the inventory's row and say so."""
    error = live = None
    history = target_history("device", device_id)
    try:
        live = client().show_device(device_id)
        row = store_device(live)
    except IotdaError as refusal:
        error = refusal
        row = known_device(device_id, history, gone=refusal.not_found)
    # A deleted device is no longer in the inventory: its operations have its space.
    deleted = not row.app_id and bool(history)
    if deleted:
        user = request.user
        seen = [each for each in history if covers_operation(user, each.operation)]
        # The name comes from what the user may see, as the rest of the page does.
        row.name = seen[0].name if seen else ""
        visible = bool(seen)
    else:
        visible = can_see_space(request.user, row.app_id)
    if not visible:
        raise Http404
    context = {
        "device": row,
        "live": live,
        "error": error,
        "gone": error is not None and error.not_found,
        "history": history,
        "drifts": drift_history("device", device_id),
    }
    status = 200 if error is None else page_status(error)
    return render(request, "devices/device.html", context, status=status)


def known_device(device_id: str, history: Sequence[Target], *, gone: bool) -> Device:
    """Return the inventory's row, or what is left of a deleted device."""
    row = Device.objects.filter(pk=device_id).first()
    if row is None and gone and not history:
        raise Http404(_("IoTDA knows no device with this ID."))
    return row or Device(device_id=device_id)


def require_permission(request: HttpRequest, verb: DeviceVerb) -> None:
    if not request.user.has_perm(verb.permission_for("device")):
        raise PermissionDenied


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
    row = row or Device(device_id=device_id)
    preview = OperationRequest.preview(verb.name, [device_id])
    confirmation = "" if sent else verb.confirmation(preview, [device_id])
    context = {"device": row, "verb": verb, "form": form, "confirmation": confirmation}
    if not form.is_valid() or not form.confirms(confirmation):
        status = 422 if request.method == "POST" else 200
        return dialog_response(request, "devices/change.html", context, status)
    try:
        change = form.request_for(verb, [row.pk], "device")
        operation = submit(change, actor_of(request), client())
    except OperationRejected as refusal:
        context["refusal"] = refusal
        return dialog_response(request, "devices/change.html", context, refusal.status)
    if not wants_fragment(request) or not verb.row_stays:
        return operation_response(request, operation)
    return row_response(request, operation, context)


def row_response(
    request: HttpRequest, operation: Operation, context: dict[str, Any]
) -> HttpResponse:
    """Return the changed row of the list; in the dialog, why it did not change."""
    outcome = overall_outcome(operation)
    if not outcome.good:
        context = {"operation": operation, **result_context(operation)}
        template = "operations/result_dialog.html"
        return dialog_response(request, template, context, outcome.http_status)
    row = context["device"]
    row = Device.objects.filter(pk=row.pk).first() or row
    context |= {"device": row, "operation": operation, "outcome": outcome}
    response = render(request, "devices/changed.html", context)
    return trigger_client_event(response, "dialog:close")


def dialog_response(
    request: HttpRequest, template: str, context: dict[str, object], status: int
) -> HttpResponse:
    """Return a page without htmx; with it, the content of the page's dialog."""
    response = render(request, template, context, part="dialog", status=status)
    if request.method == "POST" and wants_fragment(request):
        # The form's target is the row; this answer belongs into the dialog.
        retarget(response, "#dialog-body")
        reswap(response, "innerHTML")
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def change_devices(request: HttpRequest, verb: DeviceVerb) -> HttpResponse:
    """Show exactly which devices will be changed, then change exactly those."""
    require_permission(request, verb)
    if request.method != "POST":
        # After signing in again the selection is lost.
        return redirect("devices:devices")
    form, confirmed = TargetsForm(request.POST, request.FILES), "key" in request.POST
    if form.unreadable or ("upload" in form.data and not form.targets()):
        verbs = pastable_verbs(request.user)
        context = {"form": form, "text": form.text, "verbs": verbs}
        return render(request, "devices/paste.html", context, status=form.status)
    valid = confirmed and form.is_valid()
    if valid:
        change = form.request_for(verb, form.targets(), "device")
        sent = find_by_key(change.key, actor_of(request))
        valid = bool(sent) or form.confirms(verb.confirmation(change, change.ids))
    if not valid:
        status = form.status if confirmed else 200
        return selection_response(request, verb, form, status=status)
    try:
        operation = submit(change, actor_of(request), client())
    except OperationRejected as refusal:
        return selection_response(
            request, verb, form, status=refusal.status, refusal=refusal
        )
    return operation_response(request, operation)


def selection_response(
    request: HttpRequest,
    verb: DeviceVerb,
    form: TargetsForm,
    *,
    status: int,
    refusal: OperationRejected | None = None,
) -> HttpResponse:
    confirmed = "key" in form.data
    ids = valid_ids([*request.POST.getlist("target"), *form.read_ids()])
    preview = OperationRequest.preview(verb.name, ids)
    decision = authorize(request.user, preview)
    selection = select_devices(
        ids, request.user, outside=decision.outside, direct_only=verb.direct_only
    )
    if selection.left_out and decision.denied_by == "limit":
        # The limit counts without the devices that are left out.
        fewer = OperationRequest.preview(verb.name, selection.changing)
        decision = authorize(request.user, fewer)
    changing = selection.changing
    confirmation = verb.confirmation(preview, changing) if changing else ""
    context = {
        "form": form if confirmed else form.lenient(),
        "verb": verb,
        "selection": selection,
        "duplicates": form.duplicates,
        "already": verb.already_count(selection),
        "by_task": verb.goes_by_task(len(changing)),
        "confirmation": confirmation,
        "refusal": refusal,
        "forbidden": decision.message,
        "outside": decision.outside,
    }
    if not decision.allowed and not confirmed:
        status = 403
        record_denied(preview, actor_of(request), decision)
    return render(request, "devices/change_many.html", context, status=status)


@require_safe
def paste(request: HttpRequest) -> HttpResponse:
    """Show the form for a list of device IDs to be changed."""
    context = {"form": TargetsForm(), "verbs": pastable_verbs(request.user)}
    if not context["verbs"]:
        raise PermissionDenied
    return render(request, "devices/paste.html", context)


def pastable_verbs(user: AnyUser) -> list[DeviceVerb]:
    """Return the verbs that the user may apply to a list of devices."""
    verbs = [verb for verb in all_verbs() if isinstance(verb, DeviceVerb)]
    return [verb for verb in verbs if user.has_perm(verb.permission_for("device"))]
