"""The pages to cancel, retry or undo an operation."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import trigger_client_event

from iotda_admin.access.actor import actor_of
from iotda_admin.access.kept_forms import keeps_form
from iotda_admin.access.scope import AnyUser
from iotda_admin.core.http import render, wants_fragment
from iotda_admin.operations.counts import UNSUCCESSFUL, Counts
from iotda_admin.operations.execution.lifecycle import (
    cancel_operation,
    continue_operation,
)
from iotda_admin.operations.execution.wakeups import notify_workers
from iotda_admin.operations.followups.plan import (
    FollowUpPlan,
    PlanOutdated,
    create_follow_up,
)
from iotda_admin.operations.followups.retry import left_to_retry
from iotda_admin.operations.followups.undo_status import fully_undone
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.permissions import visible_operations
from iotda_admin.operations.resolutions import FailureSummary
from iotda_admin.operations.services import (
    OperationRejected,
    dispatch,
    find_by_key,
)
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web.forms import ChangeForm, FollowUpForm
from iotda_admin.operations.web.responses import (
    dialog_response,
    operation_response,
    result_response,
)
from iotda_admin.operations.web.views import (
    can_check_operation,
    may_ask,
    show_operation,
    visible_or_404,
)
from iotda_admin.rate.connection import client


def available_follow_ups(
    user: AnyUser, operation: Operation, counts: Counts, failures: FailureSummary
) -> dict[str, Any]:
    """Return the follow-ups that the views would allow this user."""
    verb = get_verb(operation.verb)
    ended = not counts.keys() & set(Target.IN_FLIGHT)
    changed = counts.get(Target.State.OK, 0)
    undoable = ended and changed and verb.inverse
    back = undoable and may_ask(user, get_verb(verb.inverse), operation)
    nothing_left = fully_undone(operation, changed) if back else None
    return {
        "cancel": not operation.ended_early
        and (Target.State.PENDING in counts or operation.held)
        and can_check_operation(user, operation),
        "retry": ended
        and left_to_retry(counts, failures)
        and may_ask(user, verb, operation),
        "undo": back and not nothing_left,
        "undone": nothing_left,
        "failures": counts.keys() & set(UNSUCCESSFUL),
    }


@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, number: int) -> HttpResponse:
    row = visible_or_404(request, number)
    if not can_check_operation(request.user, row):
        raise PermissionDenied
    if request.method != "POST":
        return confirm(request, row)
    done = cancel_operation(row, actor_of(request))
    row.refresh_from_db()
    if not done and row.state != Operation.State.CANCELLED:
        return confirm(request, row, status=409)
    if not wants_fragment(request):
        return redirect(row)
    return trigger_client_event(result_response(request, row), "dialog:close")


@require_POST
def proceed(request: HttpRequest, number: int) -> HttpResponse:
    """Continue a paused operation, or send now what only waits for a worker."""
    row = visible_or_404(request, number)
    if not can_check_operation(request.user, row):
        raise PermissionDenied
    if continue_operation(row, actor_of(request)):
        notify_workers()
    elif row.after_id:
        dispatch(row, client())
    return show_operation(request, row)


def confirm(request: HttpRequest, row: Operation, status: int = 200) -> HttpResponse:
    pending = row.targets.filter(state=Target.State.PENDING)
    left = 0 if row.ended_early else pending.count()
    followed = row.targets.filter(chunk__state=Chunk.State.FOLLOWED).count()
    context = {"operation": row, "left": left, "followed": followed}
    return dialog_response(request, "operations/cancel.html", context, status)


@keeps_form
@require_http_methods(["GET", "HEAD", "POST"])
def follow_up(
    request: HttpRequest, number: int, plan_of: type[FollowUpPlan]
) -> HttpResponse:
    """Show exactly what will be changed, then change exactly that."""
    row = visible_or_404(request, number)
    verb = plan_of.verb_name(row)
    if not verb:
        raise Http404
    if not may_ask(request.user, get_verb(verb), row):
        raise PermissionDenied
    posted, plan = request.method == "POST", plan_of(row)
    # After the plan: an operation that this form already created must not be a conflict.
    if posted and (earlier := find_by_key(key_of(request), actor_of(request))):
        plan = plan_of(row, earlier)
    form = FollowUpForm(request.POST if posted else None, plan=plan)
    if form.is_filled_in:
        return show(request, plan, form.lenient(), status=200)
    if posted and plan.over:
        outdated = PlanOutdated(plan.over)
        return show(request, plan, form, status=409, refusal=outdated)
    if not form.is_valid():
        return show(request, plan, form, status=422 if posted else 200)
    try:
        operation = send_follow_up(request, plan, form.cleaned_data)
    except OperationRejected as refusal:
        return show(request, plan_of(row), form, status=refusal.status, refusal=refusal)
    dispatch(operation, client())
    return operation_response(request, operation)


def send_follow_up(
    request: HttpRequest, plan: FollowUpPlan, said: dict[str, Any]
) -> Operation:
    if plan.running:
        message = _("This operation is still running. Wait for its end, or cancel it.")
        raise PlanOutdated(message)
    about = {name: said[name] for name in ("reason", "ticket", "key")}
    change = plan.request(plan.chosen(said["group"]), **about)
    return create_follow_up(plan, change, said["seen"], actor_of(request), client())


def seen_by(user: AnyUser, plan: FollowUpPlan) -> set[int]:
    """Return the named later operations that the user may open."""
    numbers = {number for group in plan.groups for number in group.since_first}
    seen = visible_operations(user).filter(pk__in=numbers)
    return set(seen.values_list("pk", flat=True))


def key_of(request: HttpRequest) -> str:
    """Return the form's key if it is valid: PostgreSQL rejects a search for a NUL."""
    form = ChangeForm(request.POST)
    form.is_valid()
    return str(form.cleaned_data.get("key", ""))


def show(
    request: HttpRequest,
    plan: FollowUpPlan,
    form: FollowUpForm,
    *,
    status: int,
    refusal: OperationRejected | None = None,
) -> HttpResponse:
    context = {
        "operation": plan.of,
        "verb": plan.verb,
        "plan": plan,
        "undoing": plan.link == "undo_of",
        "seen": seen_by(request.user, plan),
        "elsewhere": plan.elsewhere([group.key for group in plan.possible]),
        "form": form,
        "refusal": refusal,
    }
    return render(request, "operations/follow_up.html", context, status=status)
