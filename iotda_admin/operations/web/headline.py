"""What an operation changes, in words: never only "1 target".

A single target is named. Products and resource spaces come with their number of devices.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, ngettext_lazy

from iotda_admin.operations.counts import Counts, target_counts_by_operation
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.resolutions import failure_summaries, outcome_badge
from iotda_admin.operations.verbs import get_verb

ONE: dict[str, str | Promise] = {
    "device": _("device"),
    "product": _("product"),
    "app": _("resource space"),
}
NUMBER = {
    "device": ngettext_lazy("%(shown)s device", "%(shown)s devices", "n"),
    "product": ngettext_lazy("%(shown)s product", "%(shown)s products", "n"),
    "app": ngettext_lazy("%(shown)s resource space", "%(shown)s resource spaces", "n"),
}


class TargetWords(NamedTuple):
    """ "resource space Plant North (1,234 devices)"; the name is empty for several targets."""

    kind: str
    name: str
    reach: str

    def __str__(self) -> str:
        return " ".join(filter(None, self))


def target_words(operation: Operation, counts: Counts) -> TargetWords:
    """Return the words for the targets of one operation."""
    return words_by_operation([operation], {operation.pk: counts})[operation.pk]


def words_by_operation(
    operations: Sequence[Operation], counts: dict[int, Counts]
) -> dict[int, TargetWords]:
    totals = {each.pk: sum(counts[each.pk].values()) for each in operations}
    single = [pk for pk, total in totals.items() if total == 1]
    rows = Target.objects.filter(operation__in=single).order_by()
    names = {
        pk: name or id
        for pk, id, name in rows.values_list("operation", "target_id", "name")
    }
    return {
        each.pk: build_words(each, totals[each.pk], names.get(each.pk, ""))
        for each in operations
    }


def build_words(operation: Operation, total: int, name: str) -> TargetWords:
    kind = operation.target_type
    words = ONE[kind] if name else NUMBER[kind] % count_arguments(total)
    devices, reach = operation.devices, ""
    if devices is not None:
        text = ngettext("%(shown)s device", "%(shown)s devices", devices)
        reach = f"({text % count_arguments(devices)})"
    return TargetWords(str(words), name, reach)


def count_arguments(number: int) -> dict[str, Any]:
    return {"n": number, "shown": intcomma(number)}


def with_counts(rows: Sequence[Operation]) -> list[dict[str, Any]]:
    """Return each operation with its verb, counts, words and failures, for lists."""
    if not rows:
        return []
    counts = target_counts_by_operation(rows)
    words, failures = words_by_operation(rows, counts), failure_summaries(rows)
    return [
        {
            "operation": row,
            "verb": get_verb(row.verb),
            "counts": counts[row.pk],
            "total": sum(counts[row.pk].values()),
            "targets": words[row.pk],
            "failures": failures[row.pk],
            "outcome": outcome_badge(row, counts[row.pk], failures[row.pk]),
        }
        for row in rows
    ]
