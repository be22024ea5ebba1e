from collections import Counter
from collections.abc import Iterable, Sequence

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
from iotda_admin.operations.permissions import outside_message
from iotda_admin.operations.services import (
    OperationRejected,
    TargetSpec,
    create_operation,
    deny_look,
    dispatch,
)
from iotda_admin.operations.web.presenters import policy_history
from iotda_admin.operations.web.responses import operation_response
from iotda_admin.rate.connection import client, status_of, unknown_to_iotda
from policies import picker
from policies.effective import effective_policies, policies_on_target
from policies.forms import BindForm, PolicyTargetsForm
from policies.models import Binding, Policy, TargetType
from policies.permissions import theirs, visible_bindings, visible_policies
from policies.sync import store_policy
from policies.targets import wanted


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
        {"policies": rows, "spaces": space_names()},
        part="list",
    )


def space_names() -> dict[str, str]:
    return dict(Space.objects.values_list("app_id", "name"))


@require_safe
def policy(request: HttpRequest, policy_id: str) -> HttpResponse:
    """Read from the platform at this moment; where that fails, as the inventory has it, and said so."""
    error = None
    try:
        row = store_policy(client().show_device_policy(policy_id))
    except IotdaError as refusal:
        error = refusal
        row = known_policy(request.user, policy_id, gone=unknown_to_iotda(refusal))
    if not may_see(request.user, row):
        raise Http404
    bound = visible_bindings(request.user).filter(policy=policy_id)
    page = paginate(bound, request)
    context = {
        "policy": row,
        "error": error,
        "gone": error is not None and unknown_to_iotda(error),
        "space": space_names().get(row.app_id, row.app_id),
        "total": bound.count(),
        "page": page,
        "targets": named(page.items),
        "history": policy_history(policy_id, request.user),
    }
    status = 200 if error is None else status_of(error)
    return render(
        request, "policies/policy.html", context, part="targets", status=status
    )


def may_see(user: AnyUser, policy: Policy) -> bool:
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
    known = in_scope(picker.known_among(kind, [target_id]), request.user).first()
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
    """Choose and look again with any button, bind with the last one. Works the same without JavaScript."""
    if policy_id:
        get_object_or_404(visible_policies(request.user), pk=policy_id)
    data = request.POST if request.method == "POST" else QueryDict()
    policy_id = data.get("policy", "") or policy_id
    policy_id = policy_id if is_id(policy_id) else ""
    form = (
        BindForm(data, request.FILES, user=request.user)
        if data
        else BindForm(user=request.user)
    )
    if data.get("act") != "bind":
        return show_form(request, form.lenient(), data, policy_id)
    if not form.is_valid():
        return show_form(request, form, data, policy_id, status=form.status)
    policy = form.cleaned_data["policy"]
    try:
        operation = ask_for(request, "policy.bind", policy, form)
    except OperationRejected as refusal:
        return show_form(
            request, form, data, policy_id, status=refusal.status, refusal=refusal
        )
    dispatch(operation, client())
    return operation_response(request, operation)


def show_form(
    request: HttpRequest,
    form: BindForm,
    data: QueryDict,
    policy_id: str,
    *,
    status: int = 200,
    refusal: OperationRejected | None = None,
) -> HttpResponse:
    user, policies = request.user, visible_policies(request.user)
    policy = policies.filter(pk=policy_id).first()
    # Of one elsewhere nobody learns what it is bound to.
    policy_id = policy.pk if policy else ""
    choices = picker.read(data, policy_id, user)
    outside = picker.outside(
        choices.target_type, [*choices.ids, *form.read_ids()], user
    )
    context = {
        "form": form,
        "policy": policy,
        "policies": told_apart(policies),
        "outside": outside,
        "forbidden": outside_message(outside) if outside else "",
        "picker": choices,
        "text": "\n".join(
            filter(None, [choices.text if choices.many else "", form.text])
        ),
        "summary": summary(form, choices.target_type, policy_id, user),
        "refusal": refusal,
        "kinds": TargetType.choices,
    }
    return render(request, "policies/bind.html", context, part="form", status=status)


def summary(
    form: PolicyTargetsForm, target_type: str, policy_id: str, user: AnyUser
) -> picker.Summary | None:
    """What is known of ids that nobody sees one by one."""
    if not form.is_bound or form.unreadable or not form.read_ids():
        return None
    return picker.summary(target_type, form.targets(), policy_id, form.duplicates, user)


def told_apart(policies: Iterable[Policy]) -> list[tuple[Policy, str]]:
    """Each policy, with its space's name where another one has the same name."""
    spaces, rows = space_names(), list(policies)
    names = Counter(row.name for row in rows)
    return [
        (row, spaces.get(row.app_id, row.app_id) if names[row.name] > 1 else "")
        for row in rows
    ]


def ask_for(
    request: HttpRequest, verb: str, policy: Policy, form: PolicyTargetsForm
) -> Operation:
    target_type, ids = form.cleaned_data["target_type"], form.targets()
    return create_operation(
        verb,
        [TargetSpec(id) for id in ids],
        look=lambda ids: wanted(client(), verb, policy, target_type, ids),
        actor=actor_of(request),
        reason=form.cleaned_data["reason"],
        ticket=form.cleaned_data["ticket"],
        form_key=form.cleaned_data["key"],
        target_type=target_type,
        policy_id=policy.pk,
        policy_name=policy.name,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("policies.bind_policy", raise_exception=True)
def unbind(request: HttpRequest, policy_id: str) -> HttpResponse:
    """First shows exactly what will lose the policy, then unbinds exactly that."""
    policy = get_object_or_404(visible_policies(request.user), pk=policy_id)
    data = request.POST if request.method == "POST" else request.GET
    asked = request.method == "POST" and "key" in data
    form = PolicyTargetsForm(data, request.FILES, user=request.user)
    choices = picker.read(data, policy_id, request.user, form.read_ids())
    if request.method != "POST" and not choices.chosen:
        return redirect(policy)
    outside = picker.outside(choices.target_type, choices.ids, request.user)
    forbidden = outside_message(outside) if outside else ""
    context = {
        "policy": policy,
        "form": form,
        "picker": choices,
        "outside": outside,
        "forbidden": forbidden,
    }
    if not asked:
        form.lenient()
        if outside:
            about = {
                "target_type": choices.target_type,
                "policy_id": policy.pk,
                "policy_name": policy.name,
            }
            deny_look(
                "policy.unbind", choices.ids, outside, actor=actor_of(request), **about
            )
        status = 403 if forbidden else 200
        return render(
            request, "policies/unbind.html", context, part="dialog", status=status
        )
    if not form.is_valid():
        return render(
            request, "policies/unbind.html", context, part="dialog", status=form.status
        )
    try:
        operation = ask_for(request, "policy.unbind", policy, form)
    except OperationRejected as refusal:
        context |= {"refusal": refusal}
        return render(
            request,
            "policies/unbind.html",
            context,
            part="dialog",
            status=refusal.status,
        )
    dispatch(operation, client())
    return operation_response(request, operation)
