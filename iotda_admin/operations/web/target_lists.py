"""The lists of a selection before it is sent: what will change, what cannot and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from iotda_admin.core.csv_export import csv_response
from iotda_admin.core.id_import import list_as_text
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.services import in_flight_targets

LISTED = 50
ROWS_AT_ONCE = 500
COLUMNS = ("id", "name", "status", "reason")


@dataclass(frozen=True, slots=True)
class TargetList:
    """Some of the selected targets, which the pages name and offer as CSV.

    name: its name in the form that asks for the CSV
    rows: the rows of all targets that the user may see
    reasons: why a target is in this list, by ID
    """

    name: str
    title: str
    ids: Sequence[str]
    rows: QuerySet[Any]
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> list[tuple[Any, str]]:
        return list(self.targets(self.ids[:LISTED]))

    @property
    def shortened(self) -> bool:
        return len(self.ids) > LISTED

    @property
    def text(self) -> str:
        return list_as_text(self.ids)

    def targets(self, ids: Sequence[str]) -> Iterator[tuple[Any, str]]:
        """Yield the row of each target and the reason; an unknown one has only its ID."""
        for some in batched(ids, ROWS_AT_ONCE):
            known = self.rows.in_bulk(some)
            for id in some:
                yield known.get(id) or self.rows.model(pk=id), self.reasons.get(id, "")

    def csv(self) -> StreamingHttpResponse:
        rows = (
            (row.pk, row.name, getattr(row, "status", ""), why)
            for row, why in self.targets(self.ids)
        )
        return csv_response(f"{self.name}.csv", COLUMNS, rows)


def changed_now(request: OperationRequest) -> dict[str, str]:
    """Return the targets that another operation is changing, and which one."""
    message = _("%(operation)s by %(who)s is changing it now")
    return {
        target.target_id: message
        % {"operation": target.operation, "who": target.operation.actor_name}
        for target in in_flight_targets(request)
    }
