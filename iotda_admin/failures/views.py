"""What failed and is not solved yet: to see it by cause, to take care of it, to ask again."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any
from urllib.parse import quote, urlencode

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from iotda_admin.access.actor import actor_of
from iotda_admin.core.http import render
from iotda_admin.core.pagination import paginate
from iotda_admin.failures import assignments, queries, retrying
from iotda_admin.failures.forms import FilterForm, NoteForm, SolvedForm
from iotda_admin.failures.models import Care
from iotda_admin.failures.selection import CHOSEN, Selection, selected
from iotda_admin.operations.counts import format_counts, target_counts_by_operation
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.web.forms import ChangeForm
from iotda_admin.operations.web.views import SEE, visible

type Act = Callable[[HttpRequest, Selection], HttpResponse]
# A server in front of us may refuse a longer address; and in that of the sign-in page it stands quoted.
LONGEST = 3900


@require_safe
@permission_required(SEE, raise_exception=True)
def failures(request: HttpRequest) -> HttpResponse:
    form = FilterForm(request.GET)
    state, code = (
        request.GET.get("state", ""),
        request.GET.get("code", "").replace("\0", ""),
    )
    context = {
        "form": form,
        "state": state,
        "code": code,
        "asked_again": asked_again(request),
    }
    if state == "solved":
        return render(
            request, "failures/solved.html", context | closed(request), part="list"
        )
    rows = queries.open_failures(visible(request), form.narrow(request.user))
    if state == Target.State.UNKNOWN or code:
        return render(
            request,
            "failures/group.html",
            context | group(request, rows, state, code),
            part="list",
        )
    found = [each for each in queries.groups(rows) if helps(each, form.said.get("can"))]
    return render(
        request, "failures/failures.html", {**context, "groups": found}, part="list"
    )


def helps(group: queries.Group, can: str | None) -> bool:
    """Whether asking again for these can help, where that is asked for."""
    return not can or (group.help.retryable if can == "retry" else group.help.hopeless)


def group(request: HttpRequest, rows: Any, state: str, code: str) -> dict[str, Any]:
    alike = queries.of_group(rows, state, code)
    page = paginate(alike.select_related("operation", "care"), request, descending=True)
    return {
        "group": queries.one_group(rows, state, code),
        "page": page,
        "upto": upto(page.items),
    }


def upto(items: Sequence[Target]) -> int:
    return items[0].pk if items else 0


def closed(request: HttpRequest) -> dict[str, Any]:
    """What somebody said to be solved, to be opened again."""
    rows = Care.objects.filter(
        closed_at__isnull=False, target__operation__in=visible(request)
    )
    return {
        "page": paginate(
            rows.select_related("target__operation"), request, descending=True
        )
    }


def asked_again(request: HttpRequest) -> list[dict[str, Any]]:
    """The operations that were just asked for here, and how far they are."""
    keys = [
        number
        for number in request.GET.get("asked", "").split(",")[:20]
        if number.isdecimal()
    ]
    made = (
        list(visible(request).filter(pk__in=[key for key in keys if len(key) < 19]))
        if keys
        else []
    )
    counts = target_counts_by_operation(made)
    return [
        {"operation": each, "counts": format_counts(counts[each.pk])} for each in made
    ]


def for_sending(
    view: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Opened as an address, as after signing in again, it is the list: what was chosen is not sent again."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return redirect("failures:failures")
        return require_POST(view)(request)

    return checked


def acting(view: Act) -> Callable[[HttpRequest], HttpResponse]:
    """A deed on what was chosen."""
    return for_sending(on_chosen(view))


def with_form(view: Act) -> Callable[[HttpRequest], HttpResponse]:
    """A deed that asks something first. What was chosen stands in the form's address, so that who has to
    sign in again comes back to it."""

    @wraps(view)
    def form(request: HttpRequest, selection: Selection) -> HttpResponse:
        first = request.method == "POST" and not request.POST.keys() & {"save", "key"}
        query = chosen(request) if first else ""
        address = f"{request.path}?{query}"
        return (
            redirect(address)
            if query and len(quote(address)) < LONGEST
            else view(request, selection)
        )

    act = on_chosen(form)

    @wraps(view)
    def shown(request: HttpRequest) -> HttpResponse:
        named = request.method in ("GET", "HEAD") and request.GET.keys() & {
            "all",
            "only",
            "target",
        }
        return act(request) if named else for_sending(act)(request)

    return shown


def chosen(request: HttpRequest) -> str:
    return urlencode(
        [(name, value) for name in CHOSEN for value in request.POST.getlist(name)]
    )


def on_chosen(view: Act) -> Callable[[HttpRequest], HttpResponse]:
    @permission_required([SEE, "failures.change_care"], raise_exception=True)
    @wraps(view)
    def act(request: HttpRequest) -> HttpResponse:
        selection = selected(request)
        if not selection.targets:
            messages.warning(
                request,
                _(
                    "Nothing was changed: choose at least one failure that is still open."
                ),
            )
            return back(selection)
        return view(request, selection)

    return act


def back(selection: Selection, **more: str) -> HttpResponse:
    query = selection.back + "".join(
        f"{'&' if selection.back else '?'}{k}={v}" for k, v in more.items()
    )
    return redirect(reverse("failures:failures") + query)


def done(
    request: HttpRequest, selection: Selection, one: str, many: str
) -> HttpResponse:
    number = len(selection.targets)
    messages.success(request, (one if number == 1 else many) % {"n": number})
    return back(selection)


@acting
def take(request: HttpRequest, selection: Selection) -> HttpResponse:
    name = request.user.get_username()
    assignments.note(
        request,
        selection,
        f"taken by {name}",
        owner_id=request.user.pk,
        owner_name=name,
    )
    return done(request, selection, _("It is yours."), _("%(n)d failures are yours."))


@acting
def give_back(request: HttpRequest, selection: Selection) -> HttpResponse:
    assignments.note(request, selection, "given back", owner_id=None, owner_name="")
    return done(
        request,
        selection,
        _("It has no owner any more."),
        _("%(n)d failures have no owner any more."),
    )


@with_form
def note(request: HttpRequest, selection: Selection) -> HttpResponse:
    sent = "save" in request.POST
    form = NoteForm(
        request.POST if sent else None, initial=in_common(selection.targets)
    )
    if not sent or not form.is_valid():
        return show(
            request, "failures/note.html", selection, form, status=422 if sent else 200
        )
    if changed := {name: form.cleaned_data[name] for name in form.changed_data}:
        assignments.note(request, selection, "noted", **changed)
    return done(request, selection, _("Noted."), _("Noted for %(n)d failures."))


def in_common(targets: Sequence[Target]) -> dict[str, str]:
    """What all of them have noted alike."""
    noted = [getattr(target, "care", None) or Care() for target in targets]
    first = noted[0]
    return {
        name: getattr(first, name)
        for name in ("note", "ticket")
        if all(getattr(each, name) == getattr(first, name) for each in noted)
    }


@with_form
def solve(request: HttpRequest, selection: Selection) -> HttpResponse:
    sent = "save" in request.POST
    form = SolvedForm(request.POST if sent else None)
    if not sent or not form.is_valid():
        return show(
            request, "failures/solve.html", selection, form, status=422 if sent else 200
        )
    assignments.close(request, selection, form.cleaned_data["reason"])
    return done(
        request,
        selection,
        _("It counts as solved."),
        _("%(n)d failures count as solved."),
    )


@for_sending
@permission_required([SEE, "failures.change_care"], raise_exception=True)
def reopen(request: HttpRequest) -> HttpResponse:
    selection = selected(request, closed=True)
    if not selection.targets:
        messages.warning(request, _("Nothing was changed: choose at least one."))
        return back(selection)
    assignments.reopen(request, selection)
    return done(
        request, selection, _("It is open again."), _("%(n)d failures are open again.")
    )


@with_form
def retry(request: HttpRequest, selection: Selection) -> HttpResponse:
    sent = "key" in request.POST
    operations = {target.operation_id for target in selection.targets}
    if len(operations) > retrying.OPERATIONS_AT_ONCE:
        messages.warning(request, too_many(len(operations)))
        return back(selection)
    found = retrying.parts(selection.targets, request.user)
    again = [part for part in found if part.ids]
    form = ChangeForm(
        request.POST if sent else None,
        initial=first_asking([part.of for part in again]),
    )
    if not sent or not form.is_valid() or not again:
        more = {"parts": found, "number": sum(len(part.ids) for part in found)}
        return show(
            request,
            "failures/retry.html",
            selection,
            form,
            status=422 if sent else 200,
            **more,
        )
    said = form.cleaned_data
    made, refused = retrying.ask_again(
        again,
        actor=actor_of(request),
        key=said["key"],
        reason=said["reason"],
        ticket=said["ticket"],
    )
    for why in refused:
        messages.error(request, why)
    return back(
        selection,
        **({"asked": ",".join(str(each.pk) for each in made)} if made else {}),
    )


def too_many(number: int) -> str:
    return ngettext(
        "These come from %(n)d operation.",
        "These come from %(n)d operations. Choose fewer: up to %(most)d at once are asked again.",
        number,
    ) % {"n": number, "most": retrying.OPERATIONS_AT_ONCE}


def first_asking(operations: Sequence[Operation]) -> dict[str, str]:
    """Reason and ticket, where there were the same for all."""
    said = {(each.reason, each.ticket) for each in operations}
    reason, ticket = said.pop() if len(said) == 1 else ("", "")
    return {"reason": reason, "ticket": ticket}


def show(
    request: HttpRequest,
    template: str,
    selection: Selection,
    form: Any,
    *,
    status: int,
    **more: Any,
) -> HttpResponse:
    return render(
        request, template, {"selection": selection, "form": form, **more}, status=status
    )
