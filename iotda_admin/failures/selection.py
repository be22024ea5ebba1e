"""What somebody has chosen on the page: ticked rows, one row by its button, or all that match a filter."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, QueryDict

from iotda_admin.failures.forms import FilterForm
from iotda_admin.failures.queries import MOST, of_group, open_failures
from iotda_admin.operations.models import Target
from iotda_admin.operations.open_failures import FAILED_OR_UNKNOWN
from iotda_admin.operations.web.views import visible

# The fields that choose.
CHOSEN = ("query", "all", "upto", "only", "target")


@dataclass(frozen=True, slots=True)
class Selection:
    """hidden: the fields that choose the same again, and nothing that was added meanwhile."""

    targets: Sequence[Target]
    hidden: Sequence[tuple[str, str]]
    back: str
    # Whether more match than are taken at once.
    more: bool = False

    @property
    def ids(self) -> list[tuple[str, str]]:
        return [(target.target_id, target.name) for target in self.targets]


def selected(request: HttpRequest, *, closed: bool = False) -> Selection:
    """closed: of what was said to be solved, instead of what is open."""
    said = request.POST if request.method == "POST" else request.GET
    query = QueryDict(said.get("query", "")[:2000], mutable=True)
    back = f"?{query.urlencode()}" if query else ""
    hidden = [("query", query.urlencode())]
    if "all" in said and "only" not in said:
        rows = matching(request, query)
        newest = rows.values_list("pk", flat=True).first() or 0
        upto = numbers([said.get("upto", "")]) or [newest]
        found = fetched(rows.filter(pk__lte=upto[0]))
        return Selection(
            found[:MOST],
            [*hidden, ("all", "1"), ("upto", str(upto[0]))],
            back,
            len(found) > MOST,
        )
    keys = numbers(said.getlist("only") or said.getlist("target"))
    rows = Target.objects.filter(pk__in=keys[:MOST], operation__in=visible(request))
    found = fetched(rows)
    if len(found) < len(keys):
        # One of them is nothing for their eyes: then nothing is done.
        raise Http404
    still = [
        target
        for target in found
        if target.state in FAILED_OR_UNKNOWN and standing(target, closed)
    ]
    return Selection(
        still, [*hidden, *(("target", str(target.pk)) for target in still)], back
    )


def standing(target: Target, closed: bool) -> bool:
    """closed: by somebody's word; what a later operation solved is no matter of opinion."""
    care = getattr(target, "care", None)
    return bool(care and care.closed_at) if closed else target.solved_at is None


def matching(request: HttpRequest, query: QueryDict) -> QuerySet[Target]:
    form = FilterForm(query)
    rows = open_failures(visible(request), form.narrow(request.user))
    return of_group(rows, query.get("state", ""), query.get("code", "")).order_by("-pk")


def fetched(rows: QuerySet[Target]) -> list[Target]:
    return list(rows.order_by("-pk").select_related("operation", "care")[: MOST + 1])


def numbers(values: Sequence[str]) -> list[int]:
    whole = [
        value
        for value in values
        if value.isascii() and value.isdigit() and len(value) < 19
    ]
    return [int(value) for value in dict.fromkeys(whole)]
