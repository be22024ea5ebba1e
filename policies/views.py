from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth.decorators import permission_required
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from devices.models import Device, Product, Space
from iotda_admin.access.actor import actor_of
from iotda_admin.access.scope import AnyUser, can_see_space, in_scope, user_spaces
from iotda_admin.core.http import render
from iotda_admin.core.ids import is_id
from iotda_admin.core.pagination import paginate
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.models import Operation
from iotda_admin.operations.permissions import authorize
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.services import (
    OperationRejected,
    dispatch,
    find_by_key,
    record_denied,
    submit,
)
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web.presenters import policy_history
from iotda_admin.operations.web.responses import operation_response
from iotda_admin.rate.connection import client, page_status
from policies import picker
from policies.effective import effective_policies, policies_on_target
from policies.forms import PolicyForm
from policies.models import Binding, Policy, TargetType
from policies.permissions import theirs, visible_bindings, visible_policies
from policies.sync import store_policy
from policies.targets import known_targets


@require_safe
def policies(request: HttpRequest) -> HttpResponse:
    bound = Count("bindings", filter=theirs(request.user, "bindings__"))
    rows = (
        visible_policies(request.user)
        .annotate(targets=bound)
        .order_by("name", "policy_id")
    )
    return render(
        request,
        "policies/policies.html",
        {"policies": rows, "spaces": names_of_spaces()},
        part="list",
    )


def names_of_spaces() -> dict[str, str]:
    return dict(Space.objects.values_list("app_id", "name"))


@require_safe
def policy(request: HttpRequest, policy_id: str) -> HttpResponse:
    """Read the policy from IoTDA; if that fails, show the inventory's row and say so."""
    error = None
    try:
        row = store_policy(client().show_device_policy(policy_id))
    except IotdaError as refusal:
        error = refusal
        row = known_policy(request.user, policy_id, gone=refusal.not_found)
    if not can_see_policy(request.user, row):
        raise Http404
    bound = visible_bindings(request.user).filter(policy=policy_id)
    page = paginate(bound, request)
    context = {
        "policy": row,
        "error": error,
        "gone": error is not None and error.not_found,
        "space": names_of_spaces().get(row.app_id, row.app_id),
        "total": bound.count(),
        "page": page,
        "targets": named(page.items),
        "history": policy_history(policy_id, request.user),
    }
    status = 200 if error is None else page_status(error)
    return render(
        request, "policies/policy.html", context, part="targets", status=status
    )


def can_see_policy(user: AnyUser, policy: Policy) -> bool:
    return not policy.app_id or can_see_space(user, policy.app_id)


def known_policy(user: AnyUser, policy_id: str, *, gone: bool) -> Policy:
    row = Policy.objects.filter(pk=policy_id).first()
    if row is None and (gone or user_spaces(user) is not None):
        raise Http404(_("IoTDA knows no policy with this ID."))
    return row or Policy(policy_id=policy_id)


def named(bindings: Sequence[Binding]) -> list[tuple[Binding, str]]:
    """Each binding with its target's name."""
    names: dict[tuple[str, str], str] = {}
    for kind, model in [
        (TargetType.DEVICE, Device),
        (TargetType.PRODUCT, Product),
        (TargetType.SPACE, Space),
    ]:
        ids = [b.target_id for b in bindings if b.target_type == kind]
        names |= {
            (kind, id): name
            for id, name in model._default_manager.filter(pk__in=ids).values_list(
                "pk", "name"
            )
        }
    return [
        (b, names.get((b.target_type, b.target_id)) or b.target_id) for b in bindings
    ]


@require_safe
def of_device(request: HttpRequest, device_id: str) -> HttpResponse:
    """The policies in effect on a device, for its page."""
    device = get_object_or_404(
        in_scope(Device.objects.all(), request.user), pk=device_id
    )
    context = {"device": device, **effective_policies(device, request.user)}
    return render(request, "policies/of_device.html", context, part="policies")


@require_safe
def of_target(request: HttpRequest, target_id: str) -> HttpResponse:
    """The policies on a device, a product or a space itself, to unbind one where no more fit."""
    kind = request.GET.get("target_type", TargetType.DEVICE)
    if kind not in TargetType.values:
        raise Http404
    known = in_scope(known_targets(kind, [target_id]), request.user).first()
    if known is None:
        raise Http404
    context = {
        "target": known,
        "kind": kind,
        **policies_on_target(kind, target_id, request.user),
    }
    return render(request, "policies/of_target.html", context, part="policies")


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("policies.bind_policy", raise_exception=True)
def bind(request: HttpRequest, policy_id: str = "") -> HttpResponse:
    """Choose targets with any button, bind them with the last one.

    It works the same without JavaScript.
    """
    data = request.POST if request.method == "POST" else QueryDict()
    form = PolicyForm(data, request.FILES, user=request.user)
    confirmed = data.get("act") == "bind"
    if confirmed and not form.is_valid():
        sent = repeated_operation(request, form, "policy.bind")
        if sent:
            return operation_response(request, sent)
    refusal = None
    if confirmed and form.is_valid():
        try:
            change = get_verb("policy.bind").request_from(form)
            operation = submit(change, actor_of(request), client())
            return operation_response(request, operation)
        except OperationRejected as error:
            refusal = error
    if policy_id:
        get_object_or_404(visible_policies(request.user), pk=policy_id)
    policy_id = data.get("policy", "") or policy_id
    policy_id = policy_id if is_id(policy_id) else ""
    status = refusal.status if refusal else form.status if confirmed else 200
    if not confirmed:
        form = form.lenient() if data else PolicyForm(user=request.user)
    context = bind_context(request, form, data, policy_id) | {"refusal": refusal}
    return render(request, "policies/bind.html", context, part="form", status=status)


def repeated_operation(
    request: HttpRequest, form: PolicyForm, verb: str, policy_id: str = ""
) -> Operation | None:
    """Return the operation that the same form created before.

    The policy or the targets may be gone meanwhile, so the form may be invalid by now.
    """
    form.is_valid()
    said = getattr(form, "cleaned_data", {})
    actor = actor_of(request)
    sent = find_by_key(said.get("key", ""), actor) if said.get("key") else None
    if sent is None or not {"reason", "target_type"} <= said.keys():
        return None
    change = form.request_for(
        get_verb(verb),
        form.targets(),
        said["target_type"],
        policy_id=policy_id or form.data.get("policy", ""),
    )
    if sent.input_digest != change.digest:
        return None
    dispatch(sent, client())
    return sent


def bind_context(
    request: HttpRequest, form: PolicyForm, data: QueryDict, policy_id: str
) -> dict[str, Any]:
    user, policies = request.user, visible_policies(request.user)
    policy = policies.filter(pk=policy_id).first()
    # Do not reveal the bindings of a policy outside the user's spaces.
    policy_id = policy.pk if policy else ""
    choices = picker.read(data, policy_id, user)
    read_ids = form.read_ids() if form.is_bound else []
    chosen = OperationRequest.preview(
        "policy.bind",
        [*choices.ids, *read_ids],
        target_type=choices.target_type,
        policy_id=policy_id,
    )
    decision = authorize(user, chosen)
    summary = None
    if read_ids and not form.unreadable:
        summary = picker.summary(
            choices.target_type, form.targets(), policy_id, form.duplicates, user
        )
    many = choices.text if choices.many else ""
    return {
        "form": form,
        "policy": policy,
        "policies": labelled_policies(policies),
        "outside": decision.outside,
        "forbidden": decision.message,
        "picker": choices,
        "text": "\n".join(filter(None, [many, form.text])),
        "summary": summary,
        "kinds": TargetType.choices,
    }


def labelled_policies(policies: Iterable[Policy]) -> list[tuple[Policy, str]]:
    """Return each policy, with its space if another policy has the same name."""
    spaces, rows = names_of_spaces(), list(policies)
    names = Counter(row.name for row in rows)
    return [
        (row, spaces.get(row.app_id, row.app_id) if names[row.name] > 1 else "")
        for row in rows
    ]


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("policies.bind_policy", raise_exception=True)
def unbind(request: HttpRequest, policy_id: str) -> HttpResponse:
    """Show exactly what will lose the policy, then unbind exactly that."""
    data = (request.POST if request.method == "POST" else request.GET).copy()
    data["policy"] = policy_id
    confirmed = request.method == "POST" and "key" in data
    form = PolicyForm(data, request.FILES, user=request.user)
    if confirmed and not form.is_valid():
        sent = repeated_operation(request, form, "policy.unbind", policy_id)
        if sent:
            return operation_response(request, sent)
    policy = get_object_or_404(visible_policies(request.user), pk=policy_id)
    choices = picker.read(data, policy_id, request.user, form.read_ids())
    context = {"policy": policy, "form": form, "picker": choices}
    if not confirmed:
        return unbind_preview(request, context)
    if not form.is_valid():
        return unbind_response(request, context, form.status)
    try:
        change = get_verb("policy.unbind").request_from(form)
        operation = submit(change, actor_of(request), client())
    except OperationRejected as refusal:
        return unbind_response(request, context | {"refusal": refusal}, refusal.status)
    return operation_response(request, operation)


def unbind_preview(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    policy, choices = context["policy"], context["picker"]
    if request.method != "POST" and not choices.chosen:
        return redirect(policy)
    context["form"].lenient()
    preview = unbind_request(policy, choices)
    decision = authorize(request.user, preview)
    if not decision.allowed:
        record_denied(preview, actor_of(request), decision)
    return unbind_response(request, context, 200 if decision.allowed else 403)


def unbind_request(policy: Policy, choices: picker.Picker) -> OperationRequest:
    return OperationRequest.preview(
        "policy.unbind",
        choices.ids,
        target_type=choices.target_type,
        policy_id=policy.pk,
        policy_name=policy.name,
    )


def unbind_response(
    request: HttpRequest, context: dict[str, Any], status: int
) -> HttpResponse:
    preview = unbind_request(context["policy"], context["picker"])
    decision = authorize(request.user, preview)
    context |= {"outside": decision.outside, "forbidden": decision.message}
    return render(
        request, "policies/unbind.html", context, part="dialog", status=status
    )
