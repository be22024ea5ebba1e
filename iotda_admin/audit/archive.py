"""Move old segments of the audit trail from the database to files.

An anchor keeps the last hash of each segment, and an event records the archiving. A
file has one JSON object per event, with its targets and its hash, so it can be verified
without the database.
"""

import gzip
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from iotda_admin.audit.canonical import readable_json
from iotda_admin.audit.chain import (
    COLUMNS,
    HASHED_COLUMNS,
    UnknownKey,
    event_hash,
    insert_event_rows,
)
from iotda_admin.audit.head import Head, chain_head
from iotda_admin.audit.models import Anchor, Event
from iotda_admin.audit.record import record_event
from iotda_admin.audit.rows import (
    ROWS_PER_QUERY,
    chain_start,
    event_rows_after,
    targets_of_events,
)

# Only whole segments of this many events are archived, so files never overlap.
SEGMENT_SIZE = 10_000


class DamagedArchive(Exception):
    """A file is incomplete or was changed; the message names the file and the event."""


class Segment(NamedTuple):
    """The events of one file."""

    first: int
    last: int

    @property
    def name(self) -> str:
        return f"audit-{self.first:012}-{self.last:012}.jsonl.gz"


def segments_before(moment: datetime) -> list[Segment]:
    """Return the complete segments whose events are all older than a moment."""
    first_newer = Event.objects.filter(at__gte=moment).order_by("id").first()
    end = first_newer.pk - 1 if first_newer else chain_head().seq
    starts = range(chain_start().seq, end - SEGMENT_SIZE + 1, SEGMENT_SIZE)
    return [Segment(n + 1, n + SEGMENT_SIZE) for n in starts]


def archive_segment(segment: Segment, folder: Path, *, actor_name: str) -> Path:
    """Write a segment to a file, verify the file, and then delete the segment.

    Raises DamagedArchive.
    """
    path = folder / segment.name
    # A file from an interrupted run is verified and used, never overwritten.
    if not path.exists():
        write_verified(segment, path)
    end = check_segment(segment, path)
    with transaction.atomic():
        at = connection.ops.adapt_datetimefield_value(timezone.now())
        row = (*end, at, str(path)[:255])
        insert_event_rows(Anchor, ["last", "hash", "at", "archive"], [row])
        record_event(
            "audit.pruned",
            actor_name=actor_name,
            source="cli",
            summary=f"events {segment.first} to {segment.last} archived",
            detail={"last": end.seq, "hash": end.hash, "file": path.name},
        )
        delete_archived(end.seq)
    return path


def write_verified(segment: Segment, path: Path) -> None:
    """Write a segment to a temporary file, which gets its name when it is complete."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    write_segment(segment, part)
    check_segment(segment, part)
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check_segment(segment: Segment, path: Path) -> Head:
    """Verify that a file has the whole segment and ends with the hash in the trail."""
    end = check_file(path, chain_start())
    if end.seq != segment.last:
        raise DamagedArchive(
            f"{path}: ends with event {end.seq}, not with {segment.last}."
        )
    if not Event.objects.filter(pk=end.seq, hash=end.hash).exists():
        raise DamagedArchive(f"{path}: event {end.seq} is from another trail.")
    return end


def write_segment(segment: Segment, path: Path) -> None:
    with path.open("xb") as file:
        with gzip.open(file, "wt", encoding="utf-8") as text:
            text.writelines(f"{line}\n" for line in segment_lines(segment))
        file.flush()
        os.fsync(file.fileno())


def segment_lines(segment: Segment) -> Iterator[str]:
    for after in range(segment.first - 1, segment.last, ROWS_PER_QUERY):
        last = min(after + ROWS_PER_QUERY, segment.last)
        targets = targets_of_events(after, last)
        for row in event_rows_after(after, last - after):
            event = dict(zip(COLUMNS, row, strict=True))
            yield readable_json({**event, "targets": targets[row[0]]})


def check_file(path: Path, before: Head) -> Head:
    """Follow the chain through a file from the head before it. Return its end."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as text:
            for line in text:
                before = next_head(json.loads(line), before)
    except (OSError, ValueError, KeyError, TypeError, UnknownKey) as error:
        raise DamagedArchive(f"{path}: after event {before.seq}: {error}.") from error
    return before


def check_archive(folder: Path) -> Head:
    """Verify all files of an archive, and that the trail continues where they end."""
    # Read first: files that are written meanwhile come after it and are skipped.
    start, end = chain_start(), Head(0, "")
    for path in sorted(folder.glob("audit-*.jsonl.gz")):
        if path.name < Segment(start.seq + 1, 0).name:
            end = check_file(path, end)
    if end != start:
        raise DamagedArchive(
            f"{folder}: ends with event {end.seq}, but the trail continues after {start.seq}."
        )
    return end


def next_head(event: dict[str, Any], before: Head) -> Head:
    row = [event[name] for name in HASHED_COLUMNS]
    head = Head(event["id"], event["hash"])
    hash = event_hash(before.hash, row, event["targets"])
    if head != Head(before.seq + 1, hash):
        raise ValueError(f"event {head.seq} was changed")
    return head


def delete_archived(last: int) -> None:
    """Delete the events before the anchor; the triggers allow only that."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_reasonword WHERE event_id <= %s", [last])
        cursor.execute("DELETE FROM audit_outcome WHERE event_id <= %s", [last])
        cursor.execute("DELETE FROM audit_event WHERE id <= %s", [last])
