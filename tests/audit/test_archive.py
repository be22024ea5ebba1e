"""Archiving old segments to files."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from iotda_admin.audit import archive, chain, head
from iotda_admin.audit.models import Anchor, Event, Outcome, ReasonWord
from iotda_admin.audit.record import record_event
from iotda_admin.audit.rows import chain_start
from iotda_admin.audit.verify import verify_trail
from tests.audit.test_chain import force

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def trail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SEGMENT_SIZE", 5)
    for n in range(1, 13):
        record_event(
            "operation.asked",
            actor_name="Ada",
            reason=f"why {n} 欠费",
            targets=[(f"d{n}", "Lamp")],
        )


def archived(folder: Any, moment: Any = None) -> None:
    for segment in archive.segments_before(
        moment or timezone.now() + timedelta(days=1)
    ):
        archive.archive_segment(segment, folder, actor_name="root")


def test_only_complete_segments_are_archived(tmp_path: Path) -> None:
    archived(tmp_path)
    assert [event.id for event in Event.objects.order_by("id")] == [11, 12, 13, 14]
    assert min(Outcome.objects.values_list("event", flat=True)) == 11
    assert min(ReasonWord.objects.values_list("event", flat=True)) == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "audit-000000000001-000000000005.jsonl.gz",
        "audit-000000000006-000000000010.jsonl.gz",
    ]


def test_newer_events_stay(tmp_path: Path) -> None:
    archived(tmp_path, timezone.now() - timedelta(days=1))
    assert Event.objects.count() == 12


def test_the_chain_continues_from_the_anchor(tmp_path: Path) -> None:
    archived(tmp_path)
    assert verify_trail().broken_at is None
    assert archive.check_archive(tmp_path).seq == 10
    call_command("audit_verify", archive=tmp_path)


def test_text_in_every_language_is_readable_in_the_file(tmp_path: Path) -> None:
    archived(tmp_path)
    text = gzip.decompress(max(tmp_path.iterdir()).read_bytes()).decode()
    assert '"why 7 欠费"' in text


def test_an_event_records_the_archiving(tmp_path: Path) -> None:
    archived(tmp_path)
    event = Event.objects.filter(kind="audit.pruned").latest("id")
    anchor = Anchor.objects.latest("last")
    assert (
        (event.detail["last"], event.detail["hash"])
        == (anchor.last, anchor.hash)
        == (10, anchor.hash)
    )


def test_a_changed_file_is_found(tmp_path: Path) -> None:
    archived(tmp_path)
    path = max(tmp_path.iterdir())
    text = gzip.decompress(path.read_bytes()).decode().replace("why 7", "why 8")
    with gzip.open(path, "wt") as file:
        file.write(text)
    with pytest.raises(
        archive.DamagedArchive, match="after event 6: event 7 was changed"
    ):
        archive.check_archive(tmp_path)


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    archived(tmp_path)
    max(tmp_path.iterdir()).unlink()
    with pytest.raises(archive.DamagedArchive, match="ends with event 5"):
        archive.check_archive(tmp_path)


def test_events_missing_in_the_file_are_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "segment_lines", lambda segment: iter(()))
    with pytest.raises(archive.DamagedArchive):
        archived(tmp_path)
    assert Event.objects.count() == 12


def test_a_run_interrupted_after_the_file_is_resumed(tmp_path: Path) -> None:
    sealed = tmp_path / archive.Segment(1, 5).name
    archive.write_segment(archive.Segment(1, 5), sealed)
    kept = sealed.read_bytes()
    archived(tmp_path)
    assert (
        sealed.read_bytes() == kept,
        chain_start().seq,
        archive.check_archive(tmp_path).seq,
    ) == (True, 10, 10)


def test_an_incomplete_file_is_written_again(tmp_path: Path) -> None:
    (tmp_path / f"{archive.Segment(1, 5).name}.part").write_bytes(b"half")
    archived(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert archive.check_archive(tmp_path).seq == 10


def test_a_file_of_another_trail_is_kept(tmp_path: Path) -> None:
    other, before = tmp_path / archive.Segment(1, 5).name, head.Head(0, "")
    with gzip.open(other, "wt") as file:
        for line in archive.segment_lines(archive.Segment(1, 5)):
            event = json.loads(line) | {"reason": "another"}
            row = [event[name] for name in chain.HASHED_COLUMNS]
            before = head.Head(
                event["id"], chain.event_hash(before.hash, row, event["targets"])
            )
            file.write(json.dumps(event | {"hash": before.hash}) + "\n")
    kept = other.read_bytes()
    with pytest.raises(archive.DamagedArchive, match="is from another trail"):
        archived(tmp_path)
    assert (other.read_bytes() == kept, Event.objects.count()) == (True, 12)


def test_a_deleted_beginning_is_found(tmp_path: Path) -> None:
    hash = Event.objects.get(id=5).hash
    force(
        "INSERT INTO audit_anchor (last, hash, at, archive) VALUES (5, %s, '2026-01-01 00:00:00', '')",
        hash,
    )
    force("DELETE FROM audit_outcome WHERE event_id <= 5")
    force("DELETE FROM audit_reasonword WHERE event_id <= 5")
    force("DELETE FROM audit_event WHERE id <= 5")
    assert "no event records" in verify_trail().why


def test_the_command_checks_days_and_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("audit_archive", str(tmp_path), older_than=1)
    assert "Nothing was moved" in capsys.readouterr().out
    with pytest.raises(CommandError, match="must be a folder"):
        call_command("audit_archive", str(tmp_path / "nowhere"), older_than=1)


def test_an_expected_head_in_the_archive_is_reported(tmp_path: Path) -> None:
    between = next(f"{e.pk}:{e.hash}" for e in Event.objects.filter(pk=3))
    archived(tmp_path)
    end = str(chain_start())
    assert verify_trail(end).broken_at is None
    assert "expect a newer head" in verify_trail(between).why
    assert (
        "does not have" in verify_trail(end[:-1] + ("0" if end[-1] != "0" else "1")).why
    )


def beside(sql: Any, act: Any) -> Any:
    """Run ``act`` on another connection before the first query that contains ``sql``."""
    done: list[Any] = []

    def elsewhere() -> None:
        try:
            act()
        finally:
            connection.close()

    def wait(execute: Any, query: Any, *more: Any) -> Any:
        if sql in query and not done:
            done.append(query)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(elsewhere).result()
        return execute(query, *more)

    return connection.execute_wrapper(wait)


@pytest.mark.django_db(transaction=True)
def test_archiving_during_verification_neither_fails_nor_waits(tmp_path: Path) -> None:
    with beside('"audit_outcome"."target_id"', lambda: archived(tmp_path)):
        finding = verify_trail()
    assert (finding.broken_at, finding.events, chain_start().seq) == (None, 12, 10)


def test_a_file_that_is_being_written_is_skipped(tmp_path: Path) -> None:
    archived(tmp_path)
    archive.write_segment(
        archive.Segment(11, 15), tmp_path / archive.Segment(11, 15).name
    )
    assert archive.check_archive(tmp_path).seq == 10


def test_an_archived_event_is_not_missing(tmp_path: Path) -> None:
    """Another machine may know no newer one: the database is not older for that."""
    known = head.Head(*Event.objects.values_list("id", "hash").get(pk=7))
    archived(tmp_path)
    assert head.is_in_database(known)
    assert not head.is_in_database(head.Head(14, "0" * 64))
    assert not head.is_in_database(head.Head(15, "0" * 64))
