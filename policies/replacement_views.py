"""The page that replaces a policy of a full target with the one whose bind failed."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from iotda_admin.access.actor import Actor, actor_of
from iotda_admin.access.kept_forms import keeps_form
from iotda_admin.access.scope import in_scope
from iotda_admin.core.http import wants_fragment
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.error_codes import POLICIES_FULL
from iotda_admin.operations.models import Target
from iotda_admin.operations.permissions import authorize
from iotda_admin.operations.services import OperationRejected, find_by_key
from iotda_admin.operations.web.responses import dialog_response, result_response
from iotda_admin.operations.web.views import visible_or_404
from iotda_admin.rate.connection import client, page_status
from iotda_admin.rate.page_reads import change_client, page_client
from policies.forms import ReplaceForm
from policies.models import POLICIES_PER_TARGET
from policies.replacement import (
    BindingReader,
    BoundPolicies,
    Replacement,
    bind_preview,
    expect_bound,
    expect_open,
)
from policies.targets import devices_of


@keeps_form
@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("policies.bind_policy", raise_exception=True)
def replace_policy(request: HttpRequest, number: int, target_id: str) -> HttpResponse:
    """Show the policies of a full target; unbind the chosen one, then bind again."""
    target = full_target_or_404(request, number, target_id)
    form = ReplaceForm(
        request.POST if request.method == "POST" else None, target=target
    )
    if filled_in := form.is_filled_in:
        form.lenient()
    sent = form.is_bound and not filled_in
    context: dict[str, Any] = {"form": form, "target": target}
    try:
        if sent and form.is_valid() and was_sent(form, actor_of(request)):
            return send_replacement(request, form)
        expect_open(target)
        with change_client() if sent else page_client(patient=True) as iotda:
            context["bound"] = bound = BindingReader(iotda, target).read(request.user)
        if sent and form.makes_room(full=bound.full):
            expect_bound(bound, form.cleaned_data["unbind"])
            return send_replacement(request, form, bound)
        status = 422 if form.errors else 200
    except OperationRejected as refusal:
        context["refusal"], status = refusal, refusal.status if sent else 200
    except IotdaError as error:
        context["error"], status = error, page_status(error)
    return show_replacement(request, context, status)


def was_sent(form: ReplaceForm, actor: Actor) -> bool:
    return find_by_key(form.cleaned_data["key"], actor) is not None


def full_target_or_404(request: HttpRequest, number: int, target_id: str) -> Target:
    """Return a target whose bind failed because it has as many policies as it may.

    Raise PermissionDenied if the user may not bind a policy to it.
    """
    operation = visible_or_404(request, number)
    target = get_object_or_404(
        operation.targets.select_related("operation"),
        target_id=target_id,
        error_code=POLICIES_FULL,
        state=Target.State.FAILED,
    )
    decision = authorize(request.user, bind_preview(target, operation.policy_id))
    if not decision.allowed:
        raise PermissionDenied(decision.message)
    return target


def send_replacement(
    request: HttpRequest, form: ReplaceForm, bound: BoundPolicies | None = None
) -> HttpResponse:
    """Send what a valid form requests; return to the page that it was opened on.

    Without ``bound`` the form was sent before.
    """
    chosen = form.cleaned_data["unbind"]
    replacement = Replacement(
        form.target, form.said, chosen, bound.find(chosen) if bound else None
    )
    operations = replacement.send(actor_of(request), client())
    if wants_fragment(request):
        response = result_response(request, form.target.operation)
        return trigger_client_event(response, "dialog:close")
    if not from_failures(request):
        return redirect(form.target.operation)
    asked = ",".join(str(each.pk) for each in operations)
    return redirect(f"{failures_url()}&{urlencode({'asked': asked})}")


def from_failures(request: HttpRequest) -> bool:
    """Return whether the page was opened in the list of failures."""
    return request.GET.get("back") == "failures"


def failures_url() -> str:
    return f"{reverse('failures:failures')}?{urlencode({'code': POLICIES_FULL})}"


def show_replacement(
    request: HttpRequest, context: dict[str, Any], status: int
) -> HttpResponse:
    target: Target = context["target"]
    operation = target.operation
    reached = devices_of(operation.target_type, [target.target_id])
    context |= {
        "operation": operation,
        "limit": POLICIES_PER_TARGET,
        "reached": None if reached is None else in_scope(reached, request.user).count(),
        "back": failures_url()
        if from_failures(request)
        else operation.get_absolute_url(),
    }
    return dialog_response(request, "policies/replace.html", context, status)
