"""Check that each filter of the audit page finds events by the values of their rows.

The integrity check compares all entries of the indexes. This check searches as pages do,
so it also notices errors on the way to an entry.
"""

import random
from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import F, Max
from django.http import QueryDict

from iotda_admin.audit.chain import KINDS_WITH_REASON
from iotda_admin.audit.models import Event, Outcome
from iotda_admin.audit.rows import chain_start
from iotda_admin.audit.search.filters import (
    DENIED,
    KINDS_WITH_OUTCOMES,
    OUTCOMES_OF_REQUESTS,
    AuditFilterForm,
)
from iotda_admin.audit.search.indexes import Span, unindexed
from iotda_admin.audit.search.query import TrailSearch

# Events to search for, besides the newest of each kind.
SAMPLE_SIZE = 50
MOMENT = timedelta(microseconds=1)


def check_filters() -> list[str]:
    errors: dict[str, tuple[int, str]] = {}
    for event in sampled_events():
        for name, value in filters_of(event):
            if not finds(name, value, event.pk):
                errors.setdefault(name, (event.pk, value))
    return [
        f"The filter {name}={value} does not find event {seq}, which has this value: pages "
        "and exports can lack events. Find out who wrote to the files of the database, "
        "then run REINDEX."
        for name, (seq, value) in errors.items()
    ]


def finds(name: str, value: str, seq: int) -> bool:
    query = QueryDict(mutable=True)
    query[name] = value
    form = AuditFilterForm(query)
    # The form removes characters that users copy by mistake.
    if not form.is_valid() or str(form.active.get(name)) != value:
        return True
    reader = User(is_superuser=True, is_active=True)
    # The first event of a page that starts with this one.
    return TrailSearch(form, reader).page(Span(high=seq + 1), 1).ids == [seq]


def sampled_events() -> Iterable[Event]:
    """Return random events, and the newest of each kind, without an index of a filter."""
    kinds = Event.objects.order_by().values(each=unindexed(F("kind")))
    # No index has the hash, so the database has to read the table.
    rows = kinds.annotate(last=Max("id"), hash_too=Max("hash"))
    newest = {row["last"] for row in rows}
    start, end = chain_start().seq, max(newest, default=0)
    numbers = range(start + 1, end + 1)
    # Not predictable: nobody can keep the events of a sample in an index.
    sample = random.SystemRandom().sample(numbers, min(SAMPLE_SIZE, len(numbers)))
    return Event.objects.filter(pk__in={*newest, *sample})


def filters_of(event: Event) -> Iterator[tuple[str, str]]:
    """Yield filters that have to find an event."""
    yield from (("ticket", event.ticket), ("actor", event.actor_name))
    yield from (("kind", event.kind), ("verb", event.verb), ("source", event.source))
    yield from (("since", str(event.at)), ("until", str(event.at + MOMENT)))
    yield "policy", event.policy_id
    # The name of a policy is searched for only if no policy has it as its ID.
    if not Event.objects.filter(policy_id=event.policy_name).exists():
        yield "policy", event.policy_name
    if event.operation:
        yield "operation", str(event.operation)
    if event.kind in KINDS_WITH_OUTCOMES:
        yield "kind", OUTCOMES_OF_REQUESTS
    if event.kind in Event.DENIALS:
        yield "outcome", DENIED
    if event.kind in KINDS_WITH_REASON:
        yield "reason", event.reason
    if event.outside_hours:
        yield "outside", "True"
    if event.target_type == "app":
        yield "whole", "True"
    target = Outcome.objects.filter(event=event.pk).first()
    if target:
        yield "target", target.target_id
        yield from (("outcome", target.outcome), ("code", target.code))
