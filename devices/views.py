from django.conf import settings
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import reswap, retarget, trigger_client_event

from devices.forms import FilterForm
from devices.models import Device
from devices.selection import Selection, select_devices
from devices.sync import store_device
from devices.targets import wanted
from iotda_admin.access.actor import actor_of
from iotda_admin.access.limits import target_limit
from iotda_admin.access.scope import can_see_space, in_scope
from iotda_admin.core.http import render, wants_fragment
from iotda_admin.core.pagination import paginate
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.counts import overall_outcome
from iotda_admin.operations.permissions import limit_message, outside_message
from iotda_admin.operations.services import (
    OperationRejected,
    TargetSpec,
    create_operation,
    deny_look,
    dispatch,
)
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web.forms import ChangeForm, TargetsForm, valid_ids
from iotda_admin.operations.web.presenters import result_context, target_history
from iotda_admin.operations.web.responses import operation_response
from iotda_admin.rate.connection import client, status_of, unknown_to_iotda


@require_safe
def devices(request: HttpRequest) -> HttpResponse:
    form = FilterForm(request.GET, user=request.user)
    found = form.devices()
    context = {"form": form, "page": paginate(found, request), "total": found.count()}
    return render(request, "devices/devices.html", context, part="list")


@require_safe
def device(request: HttpRequest, device_id: str) -> HttpResponse:
    """Read from the platform at this moment; where that fails, as the inventory has it, and said so."""
    error = live = None
    try:
        live = client().show_device(device_id)
        row = store_device(live)
    except IotdaError as refusal:
        error = refusal
        row = known_device(device_id, gone=unknown_to_iotda(refusal))
    if not can_see_space(request.user, row.app_id):
        raise Http404
    context = {
        "device": row,
        "live": live,
        "error": error,
        "gone": error is not None and unknown_to_iotda(error),
        "history": target_history("device", device_id),
    }
    return render(
        request,
        "devices/device.html",
        context,
        status=200 if error is None else status_of(error),
    )


def known_device(device_id: str, *, gone: bool) -> Device:
    row = Device.objects.filter(pk=device_id).first()
    if row is None and gone:
        raise Http404(_("IoTDA knows no device with this ID."))
    return row or Device(device_id=device_id)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("devices.freeze_device", raise_exception=True)
def freeze(request: HttpRequest, device_id: str) -> HttpResponse:
    return change_one(request, device_id, "device.freeze")


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("devices.freeze_device", raise_exception=True)
def unfreeze(request: HttpRequest, device_id: str) -> HttpResponse:
    return change_one(request, device_id, "device.unfreeze")


def change_one(request: HttpRequest, device_id: str, verb: str) -> HttpResponse:
    device = get_object_or_404(
        in_scope(Device.objects.all(), request.user), pk=device_id
    )
    form = ChangeForm(request.POST) if request.method == "POST" else ChangeForm()
    context = {"device": device, "verb": get_verb(verb), "form": form}
    if request.method != "POST" or not form.is_valid():
        status = 200 if request.method != "POST" else 422
        return dialog(request, "devices/change.html", context, status)
    try:
        operation = create_operation(
            verb,
            [TargetSpec(device.pk, device.name)],
            actor=actor_of(request),
            reason=form.cleaned_data["reason"],
            ticket=form.cleaned_data["ticket"],
            form_key=form.cleaned_data["key"],
        )
    except OperationRejected as refusal:
        return dialog(
            request,
            "devices/change.html",
            context | {"refusal": refusal},
            refusal.status,
        )
    dispatch(operation, client())
    if not wants_fragment(request):
        return operation_response(request, operation)
    outcome = overall_outcome(operation)
    if not outcome.good:
        context = {"operation": operation, **result_context(operation)}
        return dialog(
            request, "operations/in_dialog.html", context, outcome.http_status
        )
    device.refresh_from_db()
    context = {"device": device, "operation": operation, "outcome": outcome}
    return trigger_client_event(
        render(request, "devices/changed.html", context), "dialog:close"
    )


def dialog(
    request: HttpRequest, template: str, context: dict[str, object], status: int
) -> HttpResponse:
    """A page of its own without htmx; with it, the content of the page's dialog."""
    response = render(request, template, context, part="dialog", status=status)
    if request.method == "POST" and wants_fragment(request):
        # Not the row that was hoped for: it stays in the dialog.
        retarget(response, "#dialog-body")
        reswap(response, "innerHTML")
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("devices.freeze_device", raise_exception=True)
def freeze_many(request: HttpRequest) -> HttpResponse:
    return change_many(request, "device.freeze")


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("devices.freeze_device", raise_exception=True)
def unfreeze_many(request: HttpRequest) -> HttpResponse:
    return change_many(request, "device.unfreeze")


def change_many(request: HttpRequest, verb: str) -> HttpResponse:
    """First shows exactly which devices will be changed, then changes exactly those."""
    if request.method != "POST":
        # As after a login in between: what was ticked is gone.
        return redirect("devices:devices")
    form, asked = TargetsForm(request.POST, request.FILES), "key" in request.POST
    if form.unreadable or ("upload" in form.data and not form.targets()):
        return render(
            request,
            "devices/paste.html",
            {"form": form, "text": form.text},
            status=form.status,
        )
    if asked and form.is_valid():
        return change(request, verb, form)
    return confirm(request, verb, form, status=form.status if asked else 200)


def change(request: HttpRequest, verb: str, form: TargetsForm) -> HttpResponse:
    try:
        operation = create_operation(
            verb,
            [TargetSpec(id) for id in form.targets()],
            look=wanted,
            actor=actor_of(request),
            reason=form.cleaned_data["reason"],
            ticket=form.cleaned_data["ticket"],
            form_key=form.cleaned_data["key"],
        )
    except OperationRejected as refusal:
        return confirm(request, verb, form, status=refusal.status, refusal=refusal)
    dispatch(operation, client())
    return operation_response(request, operation)


def confirm(
    request: HttpRequest,
    verb: str,
    form: TargetsForm,
    *,
    status: int,
    refusal: OperationRejected | None = None,
) -> HttpResponse:
    asked = "key" in form.data
    ids = valid_ids([*request.POST.getlist("target"), *form.read_ids()])
    selection = select_devices(ids, request.user)
    freezing, forbidden = verb == "device.freeze", not_allowed(request, verb, selection)
    context = {
        "form": form if asked else form.lenient(),
        "verb": get_verb(verb),
        "freezing": freezing,
        "selection": selection,
        "duplicates": form.duplicates,
        "by_task": len(selection.changing) > settings.BATCH_TASK_ABOVE,
        "already": selection.frozen if freezing else selection.known - selection.frozen,
        "refusal": refusal,
        "forbidden": forbidden,
    }
    if forbidden and not asked:
        status = 403
        deny_look(verb, ids, selection.outside, actor=actor_of(request))
    return render(request, "devices/change_many.html", context, status=status)


def not_allowed(request: HttpRequest, verb: str, selection: Selection) -> str:
    """What the door would say of it, said before somebody fills in the form."""
    if selection.outside:
        return outside_message(selection.outside)
    count, limit = (
        len(selection.changing),
        target_limit(request.user, get_verb(verb).permission("device")),
    )
    return limit_message(count, limit) if limit is not None and count > limit else ""


@require_safe
@permission_required("devices.freeze_device", raise_exception=True)
def paste(request: HttpRequest) -> HttpResponse:
    """Devices that somebody has a list of, to be frozen or unfrozen."""
    return render(request, "devices/paste.html", {"form": TargetsForm()})
