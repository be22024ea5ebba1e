"""The work queue of open failures, and what users do with the selected ones."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any
from urllib.parse import quote, urlencode

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from iotda_admin.access.actor import actor_of
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
    in_group,
)
from iotda_admin.failures.retry import MAX_OPERATIONS, plan_retries, send_retries
from iotda_admin.failures.selection import (
    FIELDS,
    FailureSelection,
    selected_failures,
    whole_numbers,
)
from iotda_admin.operations.counts import format_counts, target_counts_by_operation
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.web.forms import ChangeForm
from iotda_admin.operations.web.views import SEE, visible

type View = Callable[[HttpRequest], HttpResponse]
type SelectionView = Callable[[HttpRequest, FailureSelection], HttpResponse]
# Proxies may reject longer URLs; the sign-in page's URL quotes this one.
URL_LENGTH = 3900


@require_safe
@permission_required(SEE, raise_exception=True)
def failures(request: HttpRequest) -> HttpResponse:
    form = FailureFilterForm(request.GET)
    state = request.GET.get("state", "")
    code = request.GET.get("code", "").replace("\0", "")
    context = {"form": form, "state": state, "code": code}
    context["created"] = created_retries(request)
    # "solved" is in links from before.
    if state in ("resolved", "solved"):
        template, more = "failures/solved.html", resolved_by_hand(request)
    else:
        rows = filter_failures(visible(request), form.filters(request.user))
        if state == Target.State.UNKNOWN or code:
            template, more = "failures/group.html", group(request, rows, state, code)
        else:
            can = form.values.get("can", "")
            groups = [each for each in failure_groups(rows) if matches(each, can)]
            template, more = "failures/failures.html", {"groups": groups}
    return render(request, template, context | more, part="list")


def matches(group: FailureGroup, can: str) -> bool:
    return not can or (group.help.retryable if can == "retry" else group.help.hopeless)


def group(
    request: HttpRequest, rows: QuerySet[Target], state: str, code: str
) -> dict[str, Any]:
    alike = in_group(rows, state, code).select_related("operation", "assignment")
    page = paginate(alike, request, descending=True)
    return {
        "group": failure_group(rows, state, code),
        "page": page,
        "upto": page.items[0].pk if page.items else 0,
    }


def resolved_by_hand(request: HttpRequest) -> dict[str, Any]:
    rows = Assignment.objects.filter(
        closed_at__isnull=False, target__operation__in=visible(request)
    ).select_related("target__operation")
    return {"page": paginate(rows, request, descending=True)}


def created_retries(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the operations that a retry on this page has just created."""
    keys = whole_numbers(request.GET.get("asked", "").split(",")[:20])
    created = list(visible(request).filter(pk__in=keys))
    counts = target_counts_by_operation(created)
    return [
        {"operation": each, "counts": format_counts(counts[each.pk])}
        for each in created
    ]


def action(
    *, form: bool = False, resolved: bool = False
) -> Callable[[SelectionView], View]:
    """Decorate a view of the selected failures: open ones, or those resolved by hand.

    A GET leads to the list, as after a new sign-in: the selection is not sent again. A
    form keeps its selection in its URL, so that a new sign-in leads back to it.
    """

    def decorate(view: SelectionView) -> View:
        @permission_required([SEE, "failures.change_care"], raise_exception=True)
        def with_selection(request: HttpRequest) -> HttpResponse:
            selection = selected_failures(request, resolved=resolved)
            if not selection.targets:
                text = _("Nothing was changed. Select at least one failure.")
                messages.warning(request, text)
                return back(selection)
            url = f"{request.path}?{selection_query(request)}"
            opened = request.method == "POST" and not {"save", "key"} & set(
                request.POST
            )
            if form and opened and len(quote(url)) < URL_LENGTH:
                return redirect(url)
            return view(request, selection)

        @require_http_methods(["GET", "HEAD", "POST"])
        @wraps(view)
        def decorated(request: HttpRequest) -> HttpResponse:
            named = form and {"all", "only", "target"} & set(request.GET)
            if request.method != "POST" and not named:
                return redirect("failures:failures")
            return with_selection(request)

        return decorated

    return decorate


def selection_query(request: HttpRequest) -> str:
    return urlencode(
        [(name, value) for name in FIELDS for value in request.POST.getlist(name)]
    )


def back(selection: FailureSelection, asked: str = "") -> HttpResponse:
    query = f"{'&' if selection.back else '?'}asked={asked}" if asked else ""
    return redirect(reverse("failures:failures") + selection.back + query)


def done(
    request: HttpRequest, selection: FailureSelection, one: str, many: str
) -> HttpResponse:
    number = len(selection.targets)
    messages.success(request, (one if number == 1 else many) % {"n": number})
    return back(selection)


@action()
def take(request: HttpRequest, selection: FailureSelection) -> HttpResponse:
    name = request.user.get_username()
    fields = {"assignee_id": request.user.pk, "assignee_name": name}
    assignments.assign(request, selection, f"taken by {name}", **fields)
    one, many = _("Assigned to you."), _("%(n)d failures are assigned to you.")
    return done(request, selection, one, many)


@action()
def give_back(request: HttpRequest, selection: FailureSelection) -> HttpResponse:
    fields = {"assignee_id": None, "assignee_name": ""}
    assignments.assign(request, selection, "given back", **fields)
    one, many = _("No longer assigned."), _("%(n)d failures are no longer assigned.")
    return done(request, selection, one, many)


@action(form=True)
def note(request: HttpRequest, selection: FailureSelection) -> HttpResponse:
    sent = "save" in request.POST
    initial = common_values(selection.targets)
    form = NoteForm(request.POST if sent else None, initial=initial)
    if not form.is_valid():
        return show_form(request, "failures/note.html", selection, form)
    if changed := {name: form.cleaned_data[name] for name in form.changed_data}:
        assignments.assign(request, selection, "noted", **changed)
    return done(request, selection, _("Saved."), _("Saved for %(n)d failures."))


def common_values(targets: Sequence[Target]) -> dict[str, str]:
    """Return the note and the ticket if all assignments have the same."""
    found = [getattr(target, "assignment", None) or Assignment() for target in targets]
    values = {
        name: {getattr(each, name) for each in found} for name in ("note", "ticket")
    }
    return {name: each.pop() for name, each in values.items() if len(each) == 1}


@action(form=True)
def solve(request: HttpRequest, selection: FailureSelection) -> HttpResponse:
    form = ResolveForm(request.POST if "save" in request.POST else None)
    if not form.is_valid():
        return show_form(request, "failures/solve.html", selection, form)
    assignments.resolve_by_hand(request, selection, form.cleaned_data["reason"])
    one, many = _("Resolved."), _("%(n)d failures are resolved.")
    return done(request, selection, one, many)


@action(resolved=True)
def reopen(request: HttpRequest, selection: FailureSelection) -> HttpResponse:
    assignments.reopen(request, selection)
    one, many = _("Reopened."), _("%(n)d failures are reopened.")
    return done(request, selection, one, many)


@action(form=True)
def retry(request: HttpRequest, selection: FailureSelection) -> HttpResponse:
    number = len({target.operation_id for target in selection.targets})
    if number > MAX_OPERATIONS:
        messages.warning(request, too_many_operations(number))
        return back(selection)
    plans = plan_retries(selection.targets, request.user)
    possible = [each for each in plans if each.ids]
    form = ChangeForm(
        request.POST if "key" in request.POST else None,
        initial=common_reason([each.operation for each in possible]),
    )
    if not form.is_valid() or not possible:
        number = sum(len(each.ids) for each in plans)
        more = {"retries": plans, "number": number}
        return show_form(request, "failures/retry.html", selection, form, **more)
    values = {name: form.cleaned_data[name] for name in ("key", "reason", "ticket")}
    created, rejected = send_retries(possible, actor=actor_of(request), **values)
    for message in rejected:
        messages.error(request, message)
    return back(selection, asked=",".join(str(each.pk) for each in created))


def too_many_operations(number: int) -> str:
    return ngettext(
        "These come from %(n)d operation.",
        "These come from %(n)d operations. Select fewer: up to %(most)d are retried at once.",
        number,
    ) % {"n": number, "most": MAX_OPERATIONS}


def common_reason(operations: Sequence[Operation]) -> dict[str, str]:
    """Return the reason and the ticket if all operations have the same."""
    found = {(each.reason, each.ticket) for each in operations}
    reason, ticket = found.pop() if len(found) == 1 else ("", "")
    return {"reason": reason, "ticket": ticket}


def show_form(
    request: HttpRequest,
    template: str,
    selection: FailureSelection,
    form: Any,
    **more: Any,
) -> HttpResponse:
    context = {"selection": selection, "form": form, **more}
    return render(request, template, context, status=422 if form.is_bound else 200)
