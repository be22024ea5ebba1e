from collections.abc import Iterable, Sequence
from dataclasses import replace

from django.contrib.auth.decorators import permission_required
from django.db.models import Count, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from devices.matching import with_matching
from devices.models import Device, Space
from iotda_admin.access.actor import actor_of
from iotda_admin.access.kept_forms import keeps_form
from iotda_admin.access.scope import AnyUser, can_see_space, in_scope, user_spaces
from iotda_admin.core.concurrency import limit_concurrency
from iotda_admin.core.http import render, wants_fragment
from iotda_admin.core.id_import import list_as_text
from iotda_admin.core.ids import is_id
from iotda_admin.core.pagination import paginate
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.models import Operation
from iotda_admin.operations.permissions import Decision, authorize
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.services import (
    OperationRejected,
    dispatch,
    find_by_key,
    record_denied_preview,
    submit,
)
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web.followup_views import key_of
from iotda_admin.operations.web.presenters import policy_history
from iotda_admin.operations.web.responses import operation_response
from iotda_admin.rate.connection import client
from iotda_admin.rate.page_reads import page_client, status_of_stored
from policies import picker
from policies.effective import (
    effect_of_binding,
    effective_policies,
    policies_on_target,
    rules_of_device,
)
from policies.forms import BindForm, PolicyForm, TopicForm
from policies.models import Binding, Policy, TargetType
from policies.permissions import theirs, visible_bindings, visible_policies
from policies.selection import TargetSelection, select_targets
from policies.sync import read_policy
from policies.targets import known_targets, names_of_targets


@require_safe
def policies(request: HttpRequest) -> HttpResponse:
    context = {"policies": listed_policies(request.user), "spaces": names_of_spaces()}
    return render(request, "policies/policies.html", context, part="list")


def listed_policies(user: AnyUser) -> QuerySet[Policy]:
    """Return the policies that the user may see, with the number of their targets."""
    bound = Count("bindings", filter=theirs(user, "bindings__"))
    rows = visible_policies(user).annotate(targets=bound)
    return rows.order_by("name", "policy_id")


def names_of_spaces() -> dict[str, str]:
    return dict(Space.objects.values_list("app_id", "name"))


@limit_concurrency("iotda reads")
@require_safe
def policy(request: HttpRequest, policy_id: str) -> HttpResponse:
    """Read the policy from IoTDA; if that fails, show the inventory's row and say so."""
    error, status = None, 200
    try:
        with page_client() as iotda:
            row = read_policy(iotda, policy_id)
    except IotdaError as refusal:
        error = refusal
        row = known_policy(request.user, policy_id, gone=refusal.not_found)
        status = status_of_stored(error, known=bool(row.name))
    if row.app_id and not can_see_space(request.user, row.app_id):
        raise Http404
    bound = visible_bindings(request.user).filter(policy=policy_id)
    page = paginate(bound, request)
    context = {
        "policy": row,
        "error": error,
        "space": names_of_spaces().get(row.app_id, row.app_id),
        "total": bound.count(),
        "page": page,
        "targets": with_names(page.items),
        "history": policy_history(policy_id, request.user),
    }
    return render(
        request, "policies/policy.html", context, part="targets", status=status
    )


def known_policy(user: AnyUser, policy_id: str, *, gone: bool) -> Policy:
    row = Policy.objects.filter(pk=policy_id).first()
    if row is None and (gone or user_spaces(user) is not None):
        raise Http404(_("IoTDA knows no policy with this ID."))
    return row or Policy(policy_id=policy_id)


def with_names(bindings: Sequence[Binding]) -> list[tuple[Binding, str]]:
    """Return each binding with its target's name."""
    known, named = names_of_targets(bindings), []
    for each in bindings:
        name, _space = known.get((each.target_type, each.target_id), ("", ""))
        named.append((each, name or each.target_id))
    return named


@require_safe
def of_device(request: HttpRequest, device_id: str) -> HttpResponse:
    """The policies in effect on a device, and whether they allow a topic."""
    device = get_object_or_404(
        in_scope(Device.objects.all(), request.user), pk=device_id
    )
    rules = rules_of_device(device, request.user)
    form = TopicForm(request.GET if "topic" in request.GET else None)
    asked = form.cleaned_data if form.is_valid() else None
    context = {"device": device, "form": form, "rules": rules, "asked": asked}
    if asked:
        context["access"] = rules.decide(asked["action"], asked["topic"])
    if form.is_bound and wants_fragment(request):
        return render(request, "policies/topic_access.html", context)
    context |= effective_policies(device, request.user)
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


@keeps_form
@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("policies.bind_policy", raise_exception=True)
def bind(
    request: HttpRequest, policy_id: str = ""
) -> HttpResponse | StreamingHttpResponse:
    """Choose targets with any button, bind them with the last one.

    It works the same without JavaScript.
    """
    data = with_matching(request.POST, request.user)
    refusal = None
    form = BindForm(data or None, request.FILES, user=request.user)
    if "csv" in data:
        return form_targets(request, form).csv(request.POST["csv"])
    if kind := picker.pressed_kind(data):
        data = picker.change_kind(data, kind, form.text)
        form = BindForm(data, user=request.user)
    confirmed = data.get("act") == "bind" and not form.is_filled_in
    if confirmed:
        try:
            check_lists(request, form)
            if operation := submit_form(request, form, "policy.bind"):
                return operation_response(request, operation)
        except OperationRejected as error:
            refusal = error
    else:
        form.lenient()
    if policy_id:
        get_object_or_404(visible_policies(request.user), pk=policy_id)
    context = bind_context(request, form, data, policy_id)
    context["refusal"] = refusal
    status = refusal.status if refusal else form.status if confirmed else 200
    return render(request, "policies/bind.html", context, part="form", status=status)


def bind_context(
    request: HttpRequest, form: BindForm, data: QueryDict, policy_id: str
) -> dict[str, object]:
    policies = visible_policies(request.user)
    policy_id = data.get("policy", "") or policy_id
    policy = policies.filter(pk=policy_id).first() if is_id(policy_id) else None
    # Do not reveal the bindings of a policy outside the user's spaces.
    choices = picker.read(data, policy.pk if policy else "", request.user)
    read_ids, text = form.read_ids(), form.text
    selection, decision = sorted_targets(choices, read_ids)
    if dropped := selection.dropped_by(data.get("act", "")):
        choices = replace(choices, ids=[id for id in choices.ids if id not in dropped])
        read_ids = [id for id in read_ids if id not in dropped]
        text = list_as_text(read_ids)
        selection, decision = sorted_targets(choices, read_ids)
    listed = (selection.cannot or read_ids) and not form.unreadable
    return {
        "form": form,
        "policy": policy,
        "effect": effect_of_binding(
            policy, choices.target_type, [*choices.ids, *read_ids], request.user
        ),
        "policies": labelled_policies(policies),
        "outside": decision.outside,
        "forbidden": decision.message,
        "picker": choices,
        "text": with_chosen(choices, text, [] if form.unreadable else read_ids),
        "selection": selection if listed else None,
        "kinds": TargetType.choices,
        "kept": picker.kept_targets(data),
        "elsewhere": form.elsewhere(policy, [*choices.ids, *read_ids]),
    }


def with_chosen(choices: picker.Picker, text: str, read_ids: Sequence[str]) -> str:
    """Return the text of the paste field, with the selected IDs if they are many."""
    if not choices.many:
        return text
    if not read_ids:
        return f"{choices.text}\n{text}".rstrip("\n")
    return list_as_text([*choices.ids, *read_ids])


def sorted_targets(
    choices: picker.Picker, read_ids: Iterable[str]
) -> tuple[TargetSelection, Decision]:
    """Sort the targets of a bind into lists, and decide whether the user may do it."""
    preview = preview_of("policy.bind", choices, read_ids)
    decision = authorize(choices.user, preview)
    return select_targets(preview, choices.user, decision.outside), decision


def form_targets(request: HttpRequest, form: PolicyForm) -> TargetSelection:
    policy_id = form.data.get("policy", "")
    policies = visible_policies(request.user)
    if not (is_id(policy_id) and policies.filter(pk=policy_id).exists()):
        policy_id = ""
    choices = picker.read(request.POST, policy_id, request.user)
    return sorted_targets(choices, form.read_ids())[0]


def check_lists(request: HttpRequest, form: PolicyForm) -> None:
    """Raise OperationRejected if the page has not yet shown which targets cannot change.

    The page sends what it has shown; the selected targets it always shows.
    """
    shown, key = form.data.get("checked"), key_of(request)
    if shown is None or not form.read_ids() or find_by_key(key, actor_of(request)):
        return
    selection = form_targets(request, form)
    if selection.unclear and selection.digest != shown:
        raise OperationRejected(
            _("Check the lists of what will change and what cannot, then bind again.")
        )


def submit_form(
    request: HttpRequest, form: PolicyForm, verb_name: str
) -> Operation | None:
    """Return the operation that the form requests; None if the form is invalid.

    The same form sent twice leads to its operation. The policy or the targets may be
    gone meanwhile, so the form may be invalid by now.
    """
    verb, actor = get_verb(verb_name), actor_of(request)
    if form.is_valid():
        return submit(verb.request_from(form), actor, client())
    said = form.cleaned_data
    if not {"key", "reason", "ticket", "target_type"} <= said.keys():
        return None
    change = form.request_for(
        verb,
        form.targets(),
        said["target_type"],
        policy_id=form.data.get("policy", ""),
    )
    sent = find_by_key(change.key, actor)
    if sent is None or sent.input_digest != change.digest:
        return None
    dispatch(sent, client())
    return sent


def preview_of(
    verb: str, choices: picker.Picker, read_ids: Iterable[str] = (), **about: str
) -> OperationRequest:
    return OperationRequest.preview(
        verb,
        [*choices.ids, *read_ids],
        target_type=choices.target_type,
        policy_id=choices.policy_id,
        **about,
    )


def labelled_policies(policies: Iterable[Policy]) -> list[tuple[Policy, str]]:
    """Return each policy, with its space if they are of several."""
    spaces, rows = names_of_spaces(), list(policies)
    several = len({row.app_id for row in rows}) > 1
    return [
        (row, spaces.get(row.app_id, row.app_id) if several else "") for row in rows
    ]


@keeps_form
@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("policies.bind_policy", raise_exception=True)
def unbind(
    request: HttpRequest, policy_id: str
) -> HttpResponse | StreamingHttpResponse:
    """Show exactly what will lose the policy, then unbind exactly that."""
    posted, refusal = request.method == "POST", None
    data = (request.POST if posted else request.GET).copy()
    data["policy"] = policy_id
    form = PolicyForm(data, request.FILES, user=request.user)
    confirmed = posted and "key" in data and not {"csv", "act"} & data.keys()
    if confirmed:
        try:
            if operation := submit_form(request, form, "policy.unbind"):
                return operation_response(request, operation)
        except OperationRejected as error:
            refusal = error
    policy = get_object_or_404(visible_policies(request.user), pk=policy_id)
    choices = picker.read(data, policy_id, request.user, form.read_ids())
    if not posted and not choices.chosen:
        return redirect(policy)
    button = str(data.get("act", ""))
    choices, selection, decision = unbind_targets(choices, policy, button)
    if "csv" in data:
        return selection.csv(str(data["csv"]))
    status = refusal.status if refusal else form.status
    if not confirmed:
        form.lenient()
        status = 200 if decision.allowed else 403
        if not decision.allowed:
            record_denied_preview(selection.request, actor_of(request), decision)
    context = {
        "policy": policy,
        "form": form,
        "picker": choices,
        "selection": selection,
        "refusal": refusal,
        "outside": decision.outside,
        "forbidden": decision.message,
    }
    return render(
        request, "policies/unbind.html", context, part="dialog", status=status
    )


def unbind_targets(
    choices: picker.Picker, policy: Policy, button: str = ""
) -> tuple[picker.Picker, TargetSelection, Decision]:
    """Sort the chosen targets into lists, without those that a button leaves out."""
    preview = preview_of("policy.unbind", choices, policy_name=policy.name)
    decision = authorize(choices.user, preview)
    selection = select_targets(preview, choices.user, decision.outside)
    if dropped := selection.dropped_by(button):
        left = [id for id in choices.ids if id not in dropped]
        return unbind_targets(replace(choices, ids=left), policy)
    return choices, selection, decision
