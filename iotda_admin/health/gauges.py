"""Gauges for Prometheus, read from the database on each request."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import Count, Max, QuerySet
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from iotda_admin.audit.head import chain_head
from iotda_admin.health import workers
from iotda_admin.health.models import Worker
from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.rate.platform_state import Kind, current_failure

log = logging.getLogger(__name__)


class Gauges(Collector):
    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            found, up = list(gauges()), 1
        except DatabaseError as error:
            log.warning("The database did not answer: %s", error)
            found, up = [], 0
        yield one("database_up", "Whether the database answers", up)
        yield from found


def counts_by_state() -> Iterator[GaugeMetricFamily]:
    # Only the last day: counting all rows would take longer every day.
    day = timezone.now() - timedelta(days=1)
    yield by_state(
        "operations_last_day",
        "Operations of the last 24 hours",
        Operation.objects.filter(created_at__gte=day),
    )
    yield by_state(
        "targets_last_day",
        "Targets of the operations of the last 24 hours",
        Target.objects.filter(operation__created_at__gte=day),
    )
    yield by_state(
        "chunks_open",
        "Chunks that wait, are sent, or are to be read back",
        Chunk.objects.filter(state__in=Chunk.OPEN),
    )
    yield by_state(
        "failures_open",
        "Targets that failed or are unknown, and are not resolved",
        Target.objects.filter(state__in=Target.FAILURES, resolved_at=None),
    )


def gauges() -> Iterator[GaugeMetricFamily]:
    yield from counts_by_state()
    yield one(
        "workers", "Workers with a recent heartbeat", workers.live_workers().count()
    )
    seen_at = Worker.objects.aggregate(last=Max("seen_at"))["last"]
    yield age("worker_age_seconds", "Since the last heartbeat of a worker", seen_at)
    yield age(
        "inventory_age_seconds",
        "Since the start of the last complete sync",
        SyncRun.fresh_at(),
    )
    yield platform_states()
    yield one(
        "audit_head",
        "Number of the last audit event",
        chain_head().seq,
    )


def platform_states() -> GaugeMetricFamily:
    failure = current_failure()
    now = failure.kind if failure and failure.current else Kind.ANSWERING.value
    says = "How IoTDA answers, by the calls of all processes: 1 for the state"
    family = GaugeMetricFamily("iotda_admin_platform", says, labels=["state"])
    for kind in Kind:
        family.add_metric([kind.value or "answering"], float(kind == now))
    return family


def by_state(name: str, says: str, rows: QuerySet[Any]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"iotda_admin_{name}", says, labels=["state"])
    for state, count in rows.order_by().values_list("state").annotate(Count("pk")):
        family.add_metric([state], count)
    return family


def one(name: str, says: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"iotda_admin_{name}", says, value=value)


def age(name: str, says: str, moment: datetime | None) -> GaugeMetricFamily:
    seconds = (timezone.now() - moment).total_seconds() if moment else float("nan")
    return one(name, says, seconds)
