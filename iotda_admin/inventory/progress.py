"""What a sync has done so far, in its row of SyncRun."""

from threading import Lock
from time import monotonic

from django.utils import timezone

from iotda_admin.inventory.mirror import Mirror
from iotda_admin.inventory.models import SyncRun
from iotda_admin.iotda import CallRecord
from iotda_admin.rate.connection import observe_call

# How often it is written; a page asks as often.
WRITE_SECONDS = 1.0


class SyncProgress:
    """Counts rows, and calls from several threads; writes at most once a second."""

    def __init__(self, run: SyncRun) -> None:
        self._run, self._lock = run, Lock()
        self._written_at = monotonic()

    def observe(self, record: CallRecord) -> None:
        """Count a call. The client's observer."""
        observe_call(record)
        with self._lock:
            self._run.calls += 1
            self._run.failed_calls += record.error is not None

    def add(self, mirror: Mirror, rows: int) -> None:
        """Count rows that were read, and what the mirror has changed since."""
        self._run.rows += rows
        self._run.changed += mirror.changed
        self._run.gone += mirror.gone
        mirror.changed = mirror.gone = 0
        if monotonic() - self._written_at >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        self._written_at = monotonic()
        names = ("rows", "changed", "gone", "calls", "failed_calls")
        counts = {name: getattr(self._run, name) for name in names}
        run = SyncRun.objects.filter(pk=self._run.pk)
        run.update(alive_at=timezone.now(), **counts)
