"""The work queue of open failures, and what users do with the selected ones."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any
from urllib.parse import quote, urlencode

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from iotda_admin.access.actor import actor_of
from iotda_admin.access.kept_forms import keeps_form
from iotda_admin.core.http import render
from iotda_admin.core.pagination import paginate
from iotda_admin.failures import assignments
from iotda_admin.failures.forms import FailureFilterForm, NoteForm, ResolveForm
from iotda_admin.failures.models import Assignment
from iotda_admin.failures.queries import (
    FailureGroup,
    failure_group,
    failure_groups,
    filter_failures,
)
from iotda_admin.failures.retry import MAX_OPERATIONS, plan_retries, send_retries
from iotda_admin.failures.selection import (
    SELECTING,
    FailureSelection,
    selected_failures,
    whole_numbers,
)
from iotda_admin.operations.models import Target
from iotda_admin.operations.permissions import operations_in_queue
from iotda_admin.operations.web.forms import ChangeForm
from iotda_admin.operations.web.headline import with_counts

type View = Callable[[HttpRequest], HttpResponse]
type SelectionView = Callable[[FailureSelection], HttpResponse]
type SelectionDecorator = Callable[[SelectionView], View]
# Whose failures a user sees, ``operations_in_queue`` decides.
SEE_FAILURES = "operations.view_own_operation"
# Proxies may reject longer URLs; the sign-in page's URL quotes this one.
URL_LENGTH = 3900


@require_safe
@permission_required(SEE_FAILURES, raise_exception=True)
def failures(request: HttpRequest) -> HttpResponse:
    form = FailureFilterForm(request.GET)
    state = request.GET.get("state", "")
    code = request.GET.get("code", "").replace("\0", "")
    created = created_retries(request)
    context = {"form": form, "state": state, "code": code, "created": created}
    # "solved" is in links from before.
    if state in ("resolved", "solved"):
        template = "failures/solved.html"
        context["page"] = paginate(resolved_by_hand(request), request, descending=True)
        return render(request, template, context, part="list")
    rows = filter_failures(
        operations_in_queue(request.user), form.filters(request.user)
    )
    if state == Target.State.UNKNOWN or code:
        template = "failures/group.html"
        group = failure_group(rows, state, code)
        alike = group.rows.select_related("operation", "assignment")
        context |= {"group": group, "page": paginate(alike, request, descending=True)}
    else:
        template = "failures/failures.html"
        can = form.values.get("can", "")
        context["groups"] = [
            each for each in failure_groups(rows) if matches(each, can)
        ]
    return render(request, template, context, part="list")


def matches(group: FailureGroup, can: str) -> bool:
    return not can or (group.help.retryable if can == "retry" else group.help.hopeless)


def resolved_by_hand(request: HttpRequest) -> QuerySet[Assignment]:
    return Assignment.objects.filter(
        closed_at__isnull=False, target__operation__in=operations_in_queue(request.user)
    ).select_related("target__operation")


def created_retries(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the operations that a retry on this page has just created."""
    keys = whole_numbers(request.GET.get("asked", "").split(",")[:20])
    return with_counts(list(operations_in_queue(request.user).filter(pk__in=keys)))


def action(*, form: bool = False, resolved: bool = False) -> SelectionDecorator:
    """Decorate a view of the selected failures: open ones, or those resolved by hand.

    A GET leads to the list, as after a new sign-in: the selection is not sent again. A
    form keeps its selection in its URL, so that a new sign-in leads back to it.
    """

    def decorate(view: SelectionView) -> View:
        @require_http_methods(["GET", "HEAD", "POST"])
        @wraps(view)
        def with_selection(request: HttpRequest) -> HttpResponse:
            posted = request.method == "POST"
            if not posted and not (form and SELECTING & set(request.GET)):
                return redirect("failures:failures")
            if not request.user.has_perms([SEE_FAILURES, "failures.change_care"]):
                raise PermissionDenied
            selection = selected_failures(request, resolved=resolved)
            if not selection.targets:
                messages.warning(
                    request, _("Nothing was changed. Select at least one failure.")
                )
                return redirect(selection.back)
            url = f"{request.path}?{urlencode(selection.fields)}"
            typed = selection.sent or selection.filled_in
            opened = form and posted and not typed
            if opened and len(quote(url)) < URL_LENGTH:
                return redirect(url)
            return view(selection)

        return keeps_form(with_selection) if form else with_selection

    return decorate


def done(selection: FailureSelection, one: str, many: str) -> HttpResponse:
    number = len(selection.targets)
    text = (one if number == 1 else many) % {"n": number}
    messages.success(selection.request, text)
    return redirect(selection.back)


@action()
def take(selection: FailureSelection) -> HttpResponse:
    user = selection.request.user
    name = user.get_username()
    assignments.assign(
        selection, f"taken by {name}", assignee_id=user.pk, assignee_name=name
    )
    return done(
        selection, _("Assigned to you."), _("%(n)d failures are assigned to you.")
    )


@action()
def give_back(selection: FailureSelection) -> HttpResponse:
    assignments.assign(selection, "given back", assignee_id=None, assignee_name="")
    return done(
        selection, _("No longer assigned."), _("%(n)d failures are no longer assigned.")
    )


@action(form=True)
def note(selection: FailureSelection) -> HttpResponse:
    found = [
        getattr(target, "assignment", None) or Assignment()
        for target in selection.targets
    ]
    initial = common_values(found, "note", "ticket") | selection.filled_in
    form = NoteForm(selection.sent, initial=initial)
    if not form.is_valid():
        return show_form("failures/note.html", selection, form)
    if changed := {name: form.cleaned_data[name] for name in form.changed_data}:
        assignments.assign(selection, "noted", **changed)
    return done(selection, _("Saved."), _("Saved for %(n)d failures."))


def common_values(rows: Sequence[Model], *fields: str) -> dict[str, str]:
    """Return the fields that have the same value in all rows."""
    values = {name: {getattr(row, name) for row in rows} for name in fields}
    return {name: found.pop() for name, found in values.items() if len(found) == 1}


@action(form=True)
def solve(selection: FailureSelection) -> HttpResponse:
    form = ResolveForm(selection.sent, initial=selection.filled_in)
    if not form.is_valid():
        return show_form("failures/solve.html", selection, form)
    assignments.resolve_by_hand(selection, form.cleaned_data["reason"])
    return done(selection, _("Resolved."), _("%(n)d failures are resolved."))


@action(resolved=True)
def reopen(selection: FailureSelection) -> HttpResponse:
    assignments.reopen(selection)
    return done(selection, _("Reopened."), _("%(n)d failures are reopened."))


@action(form=True)
def retry(selection: FailureSelection) -> HttpResponse:
    request = selection.request
    number = len({target.operation_id for target in selection.targets})
    if number > MAX_OPERATIONS:
        text = _(
            "These come from %(n)d operations. Select fewer: up to %(most)d are retried at once."
        )
        messages.warning(request, text % {"n": number, "most": MAX_OPERATIONS})
        return redirect(selection.back)
    retries = plan_retries(selection.targets, request.user)
    possible = [each for each in retries if each.targets]
    operations = [each.plan.of for each in possible]
    initial = common_values(operations, "reason", "ticket") | selection.filled_in
    form = ChangeForm(selection.sent, initial=initial)
    elsewhere = [found for each in possible for found in each.elsewhere]
    if form.is_valid():
        form.confirm_other_space(elsewhere)
    if not form.is_valid() or not possible:
        number = sum(len(each.targets) for each in possible)
        more = {"retries": retries, "number": number, "elsewhere": elsewhere}
        return show_form("failures/retry.html", selection, form, **more)
    created, rejected = send_retries(possible, actor_of(request), form.cleaned_data)
    for message in rejected:
        messages.error(request, message)
    if created:
        selection.query["asked"] = ",".join(str(each.pk) for each in created)
    return redirect(selection.back)


def show_form(
    template: str, selection: FailureSelection, form: Any, **more: Any
) -> HttpResponse:
    more |= {"selection": selection, "form": form}
    status = 422 if form.is_bound else 200
    return render(selection.request, template, more, status=status)
