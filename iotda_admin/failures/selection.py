"""The failures selected on a page: ticked rows, one row, or all that match a filter."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, QueryDict
from django.urls import reverse

from iotda_admin.access.kept_forms import KEPT_KEY
from iotda_admin.core.pagination import valid_key
from iotda_admin.failures.forms import FailureFilterForm
from iotda_admin.failures.queries import COUNT_LIMIT, filter_failures, in_group
from iotda_admin.operations.models import Target
from iotda_admin.operations.permissions import operations_in_queue

# Fields of a request; without any of these, it selects nothing.
SELECTING = {"all", "only", "target"}


@dataclass(frozen=True, slots=True)
class FailureSelection:
    """The failures that a request selects.

    query: the query of the list
    fields: form fields that select the same again, without failures added since
    more: whether more failures match than one request takes
    """

    request: HttpRequest
    query: QueryDict
    targets: Sequence[Target]
    fields: Sequence[tuple[str, object]]
    more: bool

    @property
    def keys(self) -> list[int]:
        return [target.pk for target in self.targets]

    @property
    def back(self) -> str:
        """Return the URL of the list."""
        return reverse("failures:failures", query=self.query)

    @property
    def sent(self) -> QueryDict | None:
        """Return the fields of the form if it was sent, not only opened."""
        form = self.request.POST
        return form if {"save", "key"} & set(form) else None

    @property
    def filled_in(self) -> dict[str, str]:
        """Return what was typed into a kept form that is filled in again."""
        form = self.request.POST
        names = {name: name for name in ("reason", "ticket", "note")}
        names["key"] = KEPT_KEY
        typed = {name: form[field] for name, field in names.items() if field in form}
        return typed if KEPT_KEY in form else {}


def selected_failures(
    request: HttpRequest, *, resolved: bool = False
) -> FailureSelection:
    """Return what a request selects: open failures, or those resolved by hand."""
    sent = request.POST if request.method == "POST" else request.GET
    query = QueryDict(sent.get("query", "")[:2000], mutable=True)
    fields: list[tuple[str, object]] = [("query", query.urlencode())]
    if "all" in sent and "only" not in sent:
        rows = matching_failures(request, query)
        if upto := valid_key(Target._meta.pk, sent.get("upto", "")):
            rows = rows.filter(pk__lte=upto)
        found = load(rows)
        fields += [("all", 1), ("upto", found[0].pk if found else 0)]
    else:
        keys = whole_numbers(sent.getlist("only") or sent.getlist("target"))
        rows = Target.objects.filter(
            pk__in=keys[:COUNT_LIMIT], operation__in=operations_in_queue(request.user)
        )
        if rows.count() < len(keys):
            # Reject the whole request if the user may not see one of them.
            raise Http404
        # Only failures resolved by hand can be reopened, not by an operation or a sync.
        closed = Q(assignment__closed_at__isnull=False)
        in_list = closed if resolved else Q(resolved_at=None)
        found = load(rows.filter(in_list, state__in=Target.FAILURES))
        fields += [("target", target.pk) for target in found]
    more = len(found) > COUNT_LIMIT
    return FailureSelection(request, query, found[:COUNT_LIMIT], fields, more)


def matching_failures(request: HttpRequest, query: QueryDict) -> QuerySet[Target]:
    filters = FailureFilterForm(query).filters(request.user)
    rows = filter_failures(operations_in_queue(request.user), filters)
    return in_group(rows, query.get("state", ""), query.get("code", ""))


def load(rows: QuerySet[Target]) -> list[Target]:
    rows = rows.order_by("-pk").select_related("operation", "assignment")
    return list(rows[: COUNT_LIMIT + 1])


def whole_numbers(values: Sequence[str]) -> list[int]:
    """Return the values that can be keys of the failures, each once."""
    key = Target._meta.pk
    return [int(value) for value in dict.fromkeys(values) if valid_key(key, value)]
