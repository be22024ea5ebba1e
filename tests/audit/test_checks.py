"""audit_verify checks what pages find events by: indexes, schema and filters."""

import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.http import QueryDict
from pytest_django import Settings

from iotda_admin.audit.checks import filters
from iotda_admin.audit.checks.filters import check_filters, filters_of
from iotda_admin.audit.checks.integrity import check_integrity
from iotda_admin.audit.checks.read_only import sqlite_file
from iotda_admin.audit.checks.schema import EXPECTED, check_schema, found_schema
from iotda_admin.audit.head import chain_head
from iotda_admin.audit.management.commands import audit_verify
from iotda_admin.audit.models import Event
from iotda_admin.audit.search.filters import AuditFilterForm
from iotda_admin.audit.search.indexes import Span
from iotda_admin.audit.search.query import TrailSearch
from iotda_admin.audit.verify import verify_database, verify_trail
from tests.chaos import storage

pytestmark = pytest.mark.django_db
sqlite_only = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="for files of SQLite"
)
postgresql_only = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="for PostgreSQL"
)
# No filter leads with these: `event_actor_id` finds a user's own events, without entries
# in `event_at` the search reads the whole trail, and the others belong to the chain.
NO_FILTER = {"event_actor_id", "event_at", "outcome_event", "reason_word_event"}
DICE = random.Random(1)
MANY_COPIES = """
    INSERT INTO audit_event SELECT (jsonb_populate_record(
        e, jsonb_build_object('id', e.id + 1000 * n, 'hash', md5(e.id || '-' || n))
    )).* FROM audit_event e, generate_series(1, 500) n
"""


@pytest.fixture
def trail(monkeypatch: pytest.MonkeyPatch) -> None:
    storage.make_trail()
    # The newest of each kind are checked, too.
    monkeypatch.setattr(filters, "SAMPLE_SIZE", 2)


def empty(execute: Any, _dice: Any, index: str) -> str:
    storage.rebuild(execute, index, "1 = 0")
    return index


def ids_found(name: str, value: str) -> list[int]:
    query = QueryDict(mutable=True)
    query[name] = value
    search = TrailSearch(AuditFilterForm(query), User(is_superuser=True))
    return [id for ids in search.every(Span()) for id in ids]


def test_the_expected_schema_is_that_of_a_migrated_database() -> None:
    """Write it after a migration of the audit: WRITE_EXPECTED_SCHEMA=1 pytest FILE."""
    lines = "".join(
        f"{part} = {text}\n" for part, text in sorted(found_schema().items())
    )
    file = EXPECTED / f"expected_{connection.vendor}.txt"
    if os.environ.get("WRITE_EXPECTED_SCHEMA"):
        file.write_text(lines)
    assert file.read_text() == lines


def test_an_empty_trail_has_no_errors() -> None:
    assert verify_database()[1] == []


def test_an_untouched_trail_has_no_errors(trail: None) -> None:
    found, errors = verify_database(str(chain_head()))
    assert (errors, found.events) == ([], 24)


def test_each_filter_of_the_page_is_checked(trail: None) -> None:
    checked = {name for event in Event.objects.all() for name, _ in filters_of(event)}
    # A time zone belongs to other filters.
    assert checked == AuditFilterForm.base_fields.keys() - {"zone"}


@sqlite_only  # PostgreSQL uses no index for so few rows.
def test_an_emptied_index_that_hides_denied_events_is_named(trail: None) -> None:
    assert len(ids_found("outcome", "denied")) == 8
    with storage.tampered(empty, DICE, "event_kind"):
        # The chain is right, and a page shows nothing.
        assert verify_trail().broken_at is None
        assert ids_found("outcome", "denied") == []
        errors = "\n".join(verify_database()[1])
    assert "event_kind" in errors
    assert "The filter outcome=denied does not find event" in errors
    assert "REINDEX" in errors


@sqlite_only
def test_a_trigger_that_hides_counted_denials_is_reported() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER fewer AFTER UPDATE ON audit_denialcount "
            "BEGIN DELETE FROM audit_denialcount; END"
        )
    (error,) = check_schema()
    assert error.startswith("Trigger fewer is not part of this version")


@sqlite_only
def test_a_damaged_value_is_an_error_beside_all_others(trail: None) -> None:
    def damage(execute: Callable[[str], Any], _dice: Any) -> str:
        for each in ("update", "insert"):
            execute(f"DROP TRIGGER audit_event_{each}")
        # No UTF-8, and no date.
        execute("UPDATE audit_event SET kind = CAST(x'ff' AS TEXT) WHERE id = 24")
        execute("UPDATE audit_event SET at = x'ff' WHERE id = 23")
        return ""

    with storage.tampered(damage, DICE):
        errors = "\n".join(verify_database()[1])
    assert "Trigger audit_event_update is missing" in errors
    assert "Event 23 was changed" in errors
    assert "The database cannot be read" in errors


@sqlite_only
@pytest.mark.parametrize("index", sorted({*storage.index_names()} - NO_FILTER))
def test_a_filter_notices_that_its_index_is_empty(trail: None, index: str) -> None:
    with storage.tampered(empty, DICE, index):
        assert check_filters()
    assert check_filters() == []


@pytest.mark.parametrize("index", storage.index_names())
def test_the_integrity_check_names_an_emptied_index(trail: None, index: str) -> None:
    with storage.tampered(empty, DICE, index):
        assert index in " ".join(check_integrity())


@postgresql_only
def test_a_partial_index_with_all_rows_is_compared(settings: Settings) -> None:
    """PostgreSQL prefers the primary key if it is smaller: it has the same order."""
    settings.WORKING_HOURS = frozenset(), *settings.WORKING_HOURS[1:]
    storage.make_trail()
    with transaction.atomic():
        storage.execute_postgresql(MANY_COPIES)
        transaction.set_rollback(True)
    storage.execute_postgresql("REINDEX INDEX audit_event_pkey")
    assert not Event.objects.filter(outside_hours=False).exists()
    assert check_integrity() == []
    with storage.tampered(empty, DICE, "event_outside_hours"):
        (error,) = check_integrity()
    assert "Index event_outside_hours of audit_event does not hold the rows" in error


@postgresql_only
def test_amcheck_is_used_if_it_is_installed(trail: None) -> None:
    available = "SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'"
    if not storage.execute_postgresql(available):
        pytest.skip("this server has no amcheck")
    storage.execute_postgresql("CREATE EXTENSION amcheck")
    assert check_integrity() == []
    for index in ("event_kind", "reason_word_like", "outcome_code"):
        with storage.tampered(empty, DICE, index):
            (error,) = check_integrity()
        assert f"Index {index} " in error
        assert "is damaged: heap tuple" in error


@postgresql_only
def test_triggers_that_a_setting_disables_are_reported(trail: None) -> None:
    storage.execute_postgresql("SET LOCAL session_replication_role = replica")
    assert "Setting session_replication_role was changed" in " ".join(check_schema())


def test_errors_of_the_schema_say_what_to_do(trail: None) -> None:
    def drop(execute: Callable[[str], Any], _dice: Any) -> str:
        execute("DROP INDEX event_at")
        return ""

    with storage.tampered(drop, DICE):
        (error,) = check_schema()
    assert error.startswith("Index event_at is missing. Find out who dropped it, then")
    assert re.search(r'create it: CREATE INDEX "?event_at"? ON .*;$', error)
    with storage.tampered(storage.drop_trigger, DICE):
        assert "run manage.py migrate" in check_schema()[0]
    with storage.tampered(storage.add_column, DICE):
        (error,) = check_schema()
    assert "other" in error


# --- A copy that is read and not written
@pytest.fixture
def copy(trail: None) -> Iterator[Path]:
    with storage.sqlite_copy() as path:
        yield path


def refusal(file: Path) -> tuple[int, str]:
    """Return the exit status and the message of audit_verify for a file."""
    with pytest.raises(CommandError) as raised:
        call_command("audit_verify", file=file)
    return raised.value.returncode, str(raised.value)


@sqlite_only
def test_a_copy_is_verified_and_nothing_is_written(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # As a process in WAL mode leaves a file: opening it would create two more.
    storage.write(copy, 18, b"\x02\x02")
    before = copy.read_bytes(), copy.stat().st_mtime_ns
    with sqlite_file(copy):
        assert Event.objects.count() == 24
        assert os.listdir(copy.parent) == [copy.name]
        with pytest.raises(Exception, match="readonly"):
            User.objects.create(username="new")
    call_command("audit_verify", file=copy, expect=str(chain_head()))
    assert "24 events" in capsys.readouterr().out
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == before


@sqlite_only
def test_a_tampered_copy_ends_with_1_and_an_unreadable_one_with_2(copy: Path) -> None:
    storage.empty_page(copy, DICE, "event_kind")
    status, why = refusal(copy)
    assert (status, "event_kind" in why) == (1, True)
    copy.write_text("no database")
    for file in (copy, copy.parent, copy.with_name("none")):
        assert refusal(file)[0] == 2
    # The connection of the settings is back.
    assert chain_head().seq == 24


@sqlite_only
def test_a_copy_is_read_with_its_write_ahead_file(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("DROP INDEX event_at")
        raw.commit()
        folder = copy.parent / "both"
        folder.mkdir()
        for each in (copy, copy.with_name(f"{copy.name}-wal")):
            shutil.copy(each, folder)
    assert refusal(folder / copy.name)[1].startswith("Index event_at is missing")


@sqlite_only
def test_a_copy_that_needs_a_write_says_what_to_do(copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as raw:
        raw.execute("PRAGMA cache_size = 1")
        raw.execute("BEGIN")
        # More than fits into the cache, so SQLite writes before the commit.
        raw.execute(
            "CREATE TABLE other AS SELECT a.* FROM audit_event a, audit_event b"
        )
        raw.execute("DROP TABLE audit_outcome")
        raw.execute("CREATE INDEX other_hash ON other (hash)")
        folder = copy.parent / "both"
        folder.mkdir()
        for each in (copy, copy.with_name(f"{copy.name}-journal")):
            shutil.copy(each, folder)
    status, why = refusal(folder / copy.name)
    assert (status, "Copy both to a folder" in why) == (2, True)


@sqlite_only
def test_a_copy_that_is_written_meanwhile_is_not_verified(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify_and_write(expect: str) -> Any:
        copy.write_bytes(copy.read_bytes() + b"\0" * 4096)
        return verify_database(expect)

    monkeypatch.setattr(audit_verify, "verify_database", verify_and_write)
    status, why = refusal(copy)
    assert (status, "wrote to" in why) == (2, True)
