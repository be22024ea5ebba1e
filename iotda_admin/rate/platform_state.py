"""How IoTDA answers, by the calls that all processes make.

Each call says that IoTDA answers, throttles, is unreachable or refuses the credentials.
A state is shown once as many calls in a row as IN_A_ROW say the same, counted over all
processes, so that one failed call among others shows nothing. Refused credentials and
a long pause show at once. The next call that IoTDA answers ends each state, also by
refusing the request.
"""

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from iotda_admin.iotda import (
    ALL_BUSY,
    BadResponse,
    CallRecord,
    IotdaError,
    ProxyFailed,
    Rejected,
    Throttled,
    Unauthorized,
    Unreachable,
)
from iotda_admin.rate import own_connection
from iotda_admin.rate.models import PlatformState
from iotda_admin.rate.own_connection import LATER_OF, NOW, StoreUnavailable

Kind = PlatformState.Kind

IN_A_ROW = {Kind.REFUSED: 1, Kind.UNREACHABLE: 3, Kind.THROTTLED: 3}
# A pause of this length is shown although it is the first.
LONG_PAUSE_SECONDS = 5.0
# Short pauses that follow each other are shown as one: it lasts so long after the last.
THROTTLED_SECONDS = 15.0
# A state that no call has confirmed for this long is no longer claimed.
STALE_SECONDS = 600.0
# A process writes the same state, and looks for one to end, at most this often.
REPEAT_SECONDS, CHECK_SECONDS = 5.0, 1.0
# How long a call waits for the database to write this.
WAIT_SECONDS = 0.05
# The request was signed well, but this address does not serve the account.
WRONG_PLACE = "IOTDA.000021"
ERRORS: dict[str, type[IotdaError]] = {
    each.__name__: each
    for each in (
        BadResponse,
        ProxyFailed,
        Rejected,
        Throttled,
        Unauthorized,
        Unreachable,
    )
}

SAME = "(s.kind = excluded.kind AND s.failed_at > {now} - %(stale)s)"
FAIL = """
    INSERT INTO rate_platformstate AS s
        (id, kind, since, failed_at, failures, paused_to, error)
    VALUES (1, %(kind)s, {now}, {now}, 1, {now} + %(pause)s, %(error)s)
    ON CONFLICT (id) DO UPDATE SET
        kind = excluded.kind,
        since = CASE WHEN {same} THEN s.since ELSE excluded.since END,
        failed_at = excluded.failed_at,
        failures = CASE WHEN {same} THEN s.failures + 1 ELSE 1 END,
        paused_to = {later_of}(
            excluded.paused_to, CASE WHEN {same} THEN s.paused_to ELSE 0 END
        ),
        error = excluded.error
    RETURNING failures
"""
# Each page reads it.
SHOWN = "SELECT *, {now} AS now FROM rate_platformstate WHERE kind <> ''"
PEEK = "SELECT kind FROM rate_platformstate WHERE id = 1"
# A call that began before the last failure says nothing about the time after it; the
# clock of SQLite counts milliseconds. A failure in the future is from before the clock
# was set back.
CLEAR = """
    UPDATE rate_platformstate SET kind = '', failures = 0, since = {now}
    WHERE id = 1 AND (failed_at <= {now} - %(seconds)s + 0.002 OR failed_at > {now})
    RETURNING id
"""


@dataclass(frozen=True, slots=True)
class PlatformFailure:
    """A state other than answering, and whether the last calls still confirm it."""

    kind: str
    since: datetime
    failed_at: datetime
    # The end of a pause that is not over.
    paused_to: datetime | None
    current: bool
    error: IotdaError

    @property
    def label(self) -> str:
        if self.kind == Kind.UNREACHABLE and self.reached:
            return _("Answers with errors")
        return str(Kind(self.kind).label)

    @property
    def tone(self) -> str:
        return "warn" if self.kind == Kind.THROTTLED else "danger"

    @property
    def reached(self) -> bool:
        """Whether something answers, but not as IoTDA should."""
        return not isinstance(self.error, Unreachable)

    @property
    def key(self) -> str:
        """Return what distinguishes this state from others on an open page."""
        until = self.paused_to or self.since
        return f"{self.kind}-{self.reached:d}-{until:%d%H%M%S}"


@dataclass(slots=True)
class _Reported:
    """What this process has written, and when it writes or looks again."""

    kind: str = ""
    repeat_at: float = 0.0
    check_at: float = 0.0


_reported = _Reported()


def observe_state(record: CallRecord) -> None:
    """Derive the state from a call and share it, unless the database is busy."""
    kind = state_after(record.error)
    try:
        if kind == Kind.ANSWERING:
            _report_answer(record.seconds)
        elif kind and record.error:
            _report_failure(kind, record.error)
    except StoreUnavailable:
        # A later call reports it.
        _reported.check_at = time.monotonic() + CHECK_SECONDS


def state_after(error: IotdaError | None) -> Kind | None:
    """Return what a call says about IoTDA; None if it was not sent because of us."""
    if error is None:
        return Kind.ANSWERING
    if isinstance(error, Throttled):
        return Kind.THROTTLED if error.status else None
    if isinstance(error, Unauthorized) or error.code == WRONG_PLACE:
        return Kind.REFUSED
    if isinstance(error, Unreachable):
        return None if error.message == ALL_BUSY else Kind.UNREACHABLE
    if isinstance(error, BadResponse):
        return Kind.UNREACHABLE
    if isinstance(error, Rejected) and error.status:
        # A 404 that is not IoTDA's own comes from a gateway or another service.
        lost = error.status >= 500 or (error.status == 404 and not error.not_found)
        return Kind.UNREACHABLE if lost else Kind.ANSWERING
    return None


def _report_failure(kind: Kind, error: IotdaError) -> None:
    now = time.monotonic()
    _reported.check_at = now  # the next answer ends it
    # Each throttled call may have another end of the pause.
    if kind == _reported.kind and now < _reported.repeat_at and kind != Kind.THROTTLED:
        return
    facts = asdict(error) | {"type": type(error).__name__}
    pause = (error.retry_after or 0.0) if kind == Kind.THROTTLED else 0.0
    failures = _execute(FAIL, kind=kind, pause=pause, error=json.dumps(facts))
    shown = int(failures[0]) >= IN_A_ROW[kind] if failures else False
    _reported.kind = kind if shown else ""
    _reported.repeat_at = now + REPEAT_SECONDS


def _report_answer(seconds: float) -> None:
    now = time.monotonic()
    if now < _reported.check_at:
        return
    _reported.kind = ""
    found = _execute(PEEK)
    ended = not found or not found[0] or _execute(CLEAR, seconds=seconds)
    _reported.check_at = now + CHECK_SECONDS if ended else now


def _execute(sql: str, **params: str | float) -> tuple[Any, ...] | None:
    parts = {"now": NOW[connection.vendor], "later_of": LATER_OF[connection.vendor]}
    sql = sql.format(**parts, same=SAME.format(**parts))
    params["stale"] = STALE_SECONDS
    return own_connection.execute(sql, params, timeout=WAIT_SECONDS)


def current_failure() -> PlatformFailure | None:
    """Return the shared state, unless IoTDA answers; one query."""
    sql = SHOWN.format(now=NOW[connection.vendor])
    row: Any = next(iter(PlatformState.objects.raw(sql)), None)
    return _failure_of(row, row.now) if row else None


def _failure_of(row: PlatformState, now: float) -> PlatformFailure | None:
    """Return what the row says, or None if too few calls in a row confirm it."""
    throttled = row.kind == Kind.THROTTLED
    often = row.failures >= IN_A_ROW[Kind(row.kind)]
    if not often and row.paused_to - row.failed_at < LONG_PAUSE_SECONDS:
        return None
    age = now - row.failed_at
    lasts = THROTTLED_SECONDS if throttled else STALE_SECONDS
    paused = throttled and now < row.paused_to
    facts = json.loads(row.error)
    return PlatformFailure(
        kind=row.kind,
        since=_moment(row.since),
        failed_at=_moment(row.failed_at),
        paused_to=_moment(row.paused_to) if paused else None,
        # A failure in the future is from before the clock was set back.
        current=age > -THROTTLED_SECONDS and (paused or (often and age < lasts)),
        error=ERRORS[facts.pop("type")](**facts),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
