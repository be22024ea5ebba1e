"""Retention: whole segments of the trail leave the database for files; their last hash stays as an anchor,
and an event of the trail tells of it.

A file has one event a line, as JSON, with its targets and its hash: it can be checked without this database.
"""

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from iotda_admin.audit.canonical import canonical_json
from iotda_admin.audit.chain import (
    HASHED_COLUMNS,
    Head,
    UnknownKey,
    event_hash,
    insert_rows,
)
from iotda_admin.audit.models import Anchor, Event
from iotda_admin.audit.record import record_event
from iotda_admin.audit.verify import chain_start, event_rows_after, targets_of_events

# Events of a segment. Only whole ones are archived, so that files never overlap.
SEGMENT_SIZE = 10_000


class DamagedArchive(Exception):
    """A file is not what was written; the text names it and the event."""


@dataclass(frozen=True, slots=True)
class Segment:
    first: int
    last: int

    @property
    def name(self) -> str:
        return f"audit-{self.first:012}-{self.last:012}.jsonl.gz"


def segments_before(moment: datetime) -> list[Segment]:
    """The sealed segments of which every event is older."""
    begin = chain_start().seq
    newer = (
        Event.objects.filter(at__gte=moment)
        .order_by("id")
        .values_list("id", flat=True)
        .first()
    )
    newest = Event.objects.order_by("-id").values_list("id", flat=True).first() or 0
    end = (newer or newest + 1) - 1
    return [
        Segment(n + 1, n + SEGMENT_SIZE)
        for n in range(begin, end - SEGMENT_SIZE + 1, SEGMENT_SIZE)
    ]


def archive_segment(segment: Segment, folder: Path, *, actor_name: str) -> Path:
    """Write a segment to a file, read the file again, and only then remove the segment. Raises Damaged."""
    path = folder / segment.name
    # There already: who wrote it came no further. It is taken if it is the whole segment, never written over.
    if not path.exists():
        write_verified(segment, path)
    end = check_segment(segment, path)
    with transaction.atomic():
        now = timezone.now()
        insert_rows(
            Anchor,
            ["last", "hash", "at", "archive"],
            [(*end, adapted(now), str(path)[:255])],
        )
        record_event(
            "audit.pruned",
            actor_name=actor_name,
            source="cli",
            summary=f"events {segment.first} to {segment.last} archived",
            detail={"last": end.seq, "hash": end.hash, "file": path.name},
        )
        delete_archived(end.seq)
    return path


def adapted(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)


def write_verified(segment: Segment, path: Path) -> None:
    """Under its name it is whole, whatever happens. What was begun before is begun anew."""
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
    """That it has all of the segment, and ends as the trail does there."""
    end = check_file(path, chain_start())
    if end.seq != segment.last:
        raise DamagedArchive(
            f"{path}: ends with event {end.seq}, not with {segment.last}."
        )
    if not Event.objects.filter(pk=end.seq, hash=end.hash).exists():
        raise DamagedArchive(f"{path}: event {end.seq} is not the one of this trail.")
    return end


def write_segment(segment: Segment, path: Path) -> None:
    with path.open("xb") as file:
        with gzip.open(file, "wt", encoding="utf-8") as text:
            text.writelines(f"{line}\n" for line in segment_lines(segment))
        file.flush()
        os.fsync(file.fileno())


def segment_lines(segment: Segment) -> Iterator[str]:
    after = segment.first - 1
    while after < segment.last and (rows := event_rows_after(after)):
        rows = [row for row in rows if row[0] <= segment.last]
        targets = targets_of_events(after, rows[-1][0])
        for *row, hash in rows:
            event = dict(zip(HASHED_COLUMNS, row, strict=True))
            yield canonical_json(
                {**event, "targets": targets.get(row[0], []), "hash": hash}
            )
        after = rows[-1][0]


def check_file(path: Path, before: Head) -> Head:
    """Follow the chain through a file, from the end of what came before it. Raises Damaged."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as text:
            for line in text:
                before = next_head(json.loads(line), before)
    except (OSError, ValueError, KeyError, TypeError, UnknownKey) as error:
        raise DamagedArchive(f"{path}: after event {before.seq}: {error}.") from error
    return before


def check_archive(folder: Path) -> Head:
    """All files of the archive, one after the other, and that the trail goes on where they end."""
    # First: what is archived meanwhile is whole beyond it, or a file that is still being written.
    goes_on, end = chain_start(), Head(0, "")
    for path in sorted(folder.glob("audit-*.jsonl.gz")):
        if path.name < Segment(goes_on.seq + 1, 0).name:
            end = check_file(path, end)
    if end != goes_on:
        raise DamagedArchive(
            f"{folder}: ends with event {end.seq}, but the trail goes on after {goes_on.seq}."
        )
    return end


def next_head(event: dict[str, Any], before: Head) -> Head:
    row = [event[name] for name in HASHED_COLUMNS]
    if (
        row[0] != before.seq + 1
        or event_hash(before.hash, row, event["targets"]) != event["hash"]
    ):
        raise ValueError(f"event {row[0]} is not as it was written")
    return Head(row[0], event["hash"])


def delete_archived(last: int) -> None:
    """What the anchor stands for; the database refuses all else."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_reasonword WHERE event_id <= %s", [last])
        cursor.execute("DELETE FROM audit_outcome WHERE event_id <= %s", [last])
        cursor.execute("DELETE FROM audit_event WHERE id <= %s", [last])
