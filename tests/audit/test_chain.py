"""The hash chain: tampering with rows is found and named."""

from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from pytest_django import Settings

from iotda_admin.audit import chain, head, triggers
from iotda_admin.audit.head import chain_head
from iotda_admin.audit.models import Event, Outcome
from iotda_admin.audit.record import record_event
from iotda_admin.audit.triggers import triggers_intact
from iotda_admin.audit.verify import verify_trail
from iotda_admin.operations.models import Operation
from tests.conftest import make_user

pytestmark = pytest.mark.django_db


def force(sql: Any, *params: Any) -> None:
    """Run a statement as an attacker who owns the database."""
    with connection.cursor() as cursor:
        for table in triggers.DELETABLE:
            for action in triggers.trigger_actions():
                on = f" ON {table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER IF EXISTS {table}_{action}{on}")
        cursor.execute(sql, params)
    triggers.install_triggers()


@pytest.fixture
def trail() -> str:
    for n in range(1, 8):
        outcome = ("ok", "", "") if n % 2 else ("failed", "IOTDA.015204", "too many")
        facts: dict[str, Any] = {
            "actor_name": "Ada",
            "ticket": f"INC-{n}",
            "targets": [(f"d{n}", "Lamp", *outcome)],
        }
        if n == 2:
            record_event("operation.asked", reason="billing dispute", **facts)
        else:
            record_event("chunk.answered", **facts)
    return str(chain_head())


def test_an_untouched_trail_verifies(trail: str) -> None:
    finding = verify_trail(trail)
    assert (finding.broken_at, finding.events, str(finding.head)) == (None, 7, trail)


@pytest.mark.parametrize(
    ("sql", "bad"),
    [
        ("UPDATE audit_event SET reason = 'another' WHERE id = 3", 3),
        ("UPDATE audit_event SET actor_id = 1 WHERE id = 3", 3),
        ("UPDATE audit_event SET detail = '{\"a\":1}' WHERE id = 3", 3),
        (
            "UPDATE audit_event SET at = (SELECT at FROM audit_event WHERE id = 4) WHERE id = 3",
            3,
        ),
        (
            "UPDATE audit_event SET hash = (SELECT hash FROM audit_event WHERE id = 4) WHERE id = 3",
            3,
        ),
        ("UPDATE audit_event SET id = 99 WHERE id = 3", 3),
        ("DELETE FROM audit_event WHERE id = 3", 3),
        ("DELETE FROM audit_event WHERE id = 1", 1),
        ("UPDATE audit_event SET id = -1 WHERE id = 1", 0),
        ("UPDATE audit_outcome SET outcome = 'ok' WHERE event_id = 4", 4),
        ("UPDATE audit_outcome SET message = 'x' WHERE event_id = 4", 4),
        ("UPDATE audit_outcome SET event_id = 5 WHERE event_id = 4", 4),
        ("UPDATE audit_outcome SET event_id = 99 WHERE event_id = 7", 7),
        ("DELETE FROM audit_outcome WHERE event_id = 4", 4),
        ("DELETE FROM audit_reasonword WHERE event_id = 2 AND word = 'dispute'", 2),
        ("UPDATE audit_reasonword SET event_id = 3 WHERE event_id = 2", 2),
    ],
)
def test_verify_names_the_first_event_that_was_tampered_with(
    trail: str, sql: str, bad: int
) -> None:
    force(sql)
    assert verify_trail().broken_at == bad


def test_an_outcome_without_an_event_is_found(trail: str) -> None:
    force(
        "INSERT INTO audit_outcome (event_id, target_id, target_name, outcome, code, message) "
        "VALUES (8, 'd', '', 'ok', '', '')"
    )
    assert verify_trail().broken_at == 8


@pytest.mark.parametrize("seq", [0, 8, 99])
def test_a_word_without_an_event_is_found(trail: str, seq: int) -> None:
    force("INSERT INTO audit_reasonword (word, event_id) VALUES ('planted', %s)", seq)
    assert (verify_trail().broken_at, "no such event" in verify_trail().why) == (
        seq,
        True,
    )


def test_an_emptied_trail_is_found() -> None:
    assert verify_trail().broken_at is None
    Client().force_login(make_user("viewer"))
    for table in triggers.DELETABLE:
        force(f"DELETE FROM {table}")
    assert (
        "the trail is empty, although there are users who have signed in"
        in verify_trail().why
    )


def test_an_empty_trail_beside_operations_is_found() -> None:
    Operation.objects.create(verb="device.freeze", target_type="device")
    for table in triggers.DELETABLE:
        force(f"DELETE FROM {table}")
    assert "although there are operations" in verify_trail().why


def test_a_deleted_tail_is_found_with_an_expected_head(trail: str) -> None:
    force("DELETE FROM audit_outcome WHERE event_id > 5")
    force("DELETE FROM audit_event WHERE id > 5")
    assert verify_trail().broken_at is None
    assert verify_trail(trail).broken_at == 6


@pytest.mark.parametrize("wrong", ["garbage", "7", "7:abc", "Head 7:abc", "7 :abc"])
def test_an_invalid_head_is_rejected(trail: str, wrong: str) -> None:
    with pytest.raises(ValueError, match="NUMBER:HASH"):
        verify_trail(wrong)
    with pytest.raises(CommandError, match="NUMBER:HASH"):
        call_command("audit_verify", expect=wrong)
    assert verify_trail(f" {trail} ").broken_at is None


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="only SQLite stores values of other types"
)
@pytest.mark.parametrize(
    ("sql", "bad"),
    [
        ("UPDATE audit_event SET outside_hours = outside_hours || 'x' WHERE id = 3", 3),
        (
            "UPDATE audit_outcome SET message = CAST(x'ff' AS TEXT) WHERE event_id = 4",
            4,
        ),
        ("UPDATE audit_event SET reason = CAST(x'ff' AS TEXT) WHERE id = 4", 4),
    ],
)
def test_a_value_of_another_type_is_found(trail: str, sql: str, bad: int) -> None:
    force(sql)
    assert verify_trail().broken_at == bad


@pytest.mark.skipif(connection.vendor != "sqlite", reason="written for SQLite")
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER other BEFORE INSERT ON audit_event BEGIN SELECT 1; END",
        "CREATE TRIGGER audit_event_update BEFORE UPDATE ON audit_event WHEN 0 BEGIN SELECT 1; END",
    ],
)
def test_foreign_triggers_are_reported(trail: str, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER audit_event_update")
        cursor.execute(sql)
    triggers.install_triggers()
    assert triggers_intact() == ("WHEN 0" in sql)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="written for SQLite")
def test_a_dropped_event_fails_the_change_it_records(trail: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER other BEFORE INSERT ON audit_event WHEN NEW.kind = 'denied' "
            "BEGIN SELECT RAISE(IGNORE); END"
        )
    with pytest.raises(DatabaseError, match="inserted 0 of 1"):
        record_event("denied", actor_name="Eve")


@pytest.mark.parametrize("table", triggers.DELETABLE)
@pytest.mark.parametrize("change", ["UPDATE {} SET {}", "DELETE FROM {}"])
def test_the_database_rejects_changes_and_deletions(
    trail: str, table: Any, change: str
) -> None:
    column = {
        "audit_event": "reason", "audit_outcome": "message", "audit_anchor": "archive",
        "audit_reasonword": "word",
    }[table]  # fmt: skip
    if table == "audit_anchor":
        force(
            "INSERT INTO audit_anchor (last, hash, at, archive) VALUES (0, '', '2026-01-01 00:00:00', '')"
        )
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change.format(table, f"{column} = 'x'"))


def again(table: Any, key: Any) -> list[Any]:
    """Return statements that replace each row by itself."""
    names = [
        field.column
        for field in apps.get_model(table.replace("_", ".", 1))._meta.concrete_fields
    ]
    rest = ", ".join(name for name in names if name != key)
    if connection.vendor == "postgresql":
        over = f"ON CONFLICT ({key}) DO UPDATE SET {key} = EXCLUDED.{key}"
        return [
            f"INSERT INTO {table} ({key}, {rest}) SELECT {key}, {rest} FROM {table} {over}"
        ]
    by_rowid = f"REPLACE INTO {table} (rowid, {key}, {rest}) SELECT rowid, {key} + 99, {rest} FROM {table}"
    # In the other tables the key is the rowid.
    more = [by_rowid] if table in (triggers.EVENT, triggers.ANCHOR) else []
    return [
        f"REPLACE INTO {table} ({key}, {rest}) SELECT {key}, {rest} FROM {table}",
        *more,
    ]


@pytest.mark.parametrize(("table", "key"), triggers.PRIMARY_KEYS.items())
def test_the_database_rejects_replacing_a_row(trail: str, table: Any, key: Any) -> None:
    force(
        "INSERT INTO audit_anchor (last, hash, at, archive) VALUES (0, '', '2026-01-01 00:00:00', '')"
    )
    for sql in again(table, key):
        with (
            pytest.raises(DatabaseError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)


def test_the_orm_rejects_changes_and_deletions(trail: str) -> None:
    for rows in (Event.objects, Outcome.objects):
        with pytest.raises(TypeError):
            rows.update(id=1)
        with pytest.raises(TypeError):
            rows.all().delete()


def test_missing_triggers_are_reported(trail: str) -> None:
    with connection.cursor() as cursor:
        on = " ON audit_event" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER audit_event_update{on}")
    assert not triggers_intact()
    assert "triggers are missing" in verify_trail().why


def test_a_chain_forged_without_the_key_is_found(
    trail: str, settings: Settings
) -> None:
    settings.AUDIT_KEY = "a-key-kept-elsewhere"
    record_event("login", actor_name="Ada")
    assert verify_trail(str(chain_head())).broken_at is None
    rechain_from(2, "")
    assert verify_trail().broken_at is not None
    rechain_from(2, "a-key-guessed")
    assert verify_trail().broken_at is not None


def test_events_older_than_the_key_need_an_expected_head(
    trail: str, settings: Settings
) -> None:
    settings.AUDIT_KEY = "a-key-kept-elsewhere"
    record_event("login", actor_name="Ada")
    noted = str(chain_head())
    assert verify_trail(noted).broken_at is None
    assert (verify_trail(trail).broken_at, verify_trail().broken_at) == (None, 1)


def test_a_trail_rewritten_without_the_key_is_found(settings: Settings) -> None:
    settings.AUDIT_KEY = "a-key-kept-elsewhere"
    for name in ("Ada", "Bo"):
        record_event("login", actor_name=name)
    noted = str(chain_head())
    force("UPDATE audit_event SET actor_name = 'Eve' WHERE id = 1")
    rechain_from(1, "")
    # Anyone can cause an event, which makes the end look valid again.
    record_event("login.failed")
    assert "without the key" in verify_trail().why
    assert verify_trail(noted).broken_at == 2


def test_an_old_key_after_the_current_one_is_found(
    trail: str, settings: Settings
) -> None:
    settings.AUDIT_KEY, settings.AUDIT_OLD_KEYS = "present", ["leaked"]
    record_event("login", actor_name="Ada")
    noted = str(chain_head())
    record_event("login", actor_name="Bo")
    rechain_from(9, "leaked")
    record_event("login.failed")
    assert "old key" in verify_trail(noted).why


def rechain_from(seq: Any, key: Any) -> None:
    """Rewrite the hashes as an attacker who knows how they are computed."""
    from django.conf import settings as ours

    from iotda_admin.audit.rows import event_rows_after, targets_of_events

    known, ours.AUDIT_KEY = ours.AUDIT_KEY, key
    rows, before = event_rows_after(0), ""
    for *row, hash in rows:
        if row[0] >= seq:
            row[-1] = chain.key_id(key)
            hash = chain.event_hash(
                before, row, targets_of_events(row[0] - 1, row[0])[row[0]]
            )
            force(
                "UPDATE audit_event SET hash = %s, key_id = %s WHERE id = %s",
                hash,
                row[-1],
                row[0],
            )
        before = hash
    ours.AUDIT_KEY = known


def test_events_of_an_old_key_verify(trail: str, settings: Settings) -> None:
    settings.AUDIT_KEY = "old"
    record_event("login", actor_name="Ada")
    settings.AUDIT_KEY, settings.AUDIT_OLD_KEYS = "new", ["old"]
    record_event("login", actor_name="Ada")
    noted = str(chain_head())
    assert verify_trail(noted).broken_at is None
    settings.AUDIT_OLD_KEYS = []
    assert "unknown key" in verify_trail(noted).why


def test_the_command_reports_the_result(
    trail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("audit_verify", expect=trail)
    assert "7 events" in capsys.readouterr().out
    force("DELETE FROM audit_event WHERE id = 3")
    with pytest.raises(CommandError, match="Event 3 is missing"):
        call_command("audit_verify")


def test_the_head_is_logged(trail: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        head.log_head()
    assert f"Audit head {trail}" in caplog.messages
