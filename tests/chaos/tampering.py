"""Tamper with rows as an attacker who owns the database. Each tampering must be found."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db import connection as db

from iotda_admin.audit import chain, triggers
from iotda_admin.audit.head import chain_head
from iotda_admin.audit.models import Event
from iotda_admin.audit.record import record_event
from iotda_admin.audit.rows import event_rows_after, targets_of_events
from iotda_admin.audit.verify import verify_database, verify_trail
from tests.chaos import product, storage
from tests.chaos.forks import Child
from tests.chaos.report import Findings
from tests.chaos.stage import Stage

KEY, GUESSED = "a-key-kept-elsewhere", "a-key-guessed"
PER_TRAIL = 25
INSERT_ANCHOR = (
    "INSERT INTO audit_anchor (last, hash, at, archive) "
    "VALUES (%s, %s, '2026-01-01 00:00:00', 'x')"
)
CONTROL_RUNS = 40
# The share of tamperings with the storage: each verifies the whole database.
STORAGE_SHARE = 4
WRITERS, APPENDS = 4, 250
COLUMNS = [name for name in chain.COLUMNS if name != "id"]
TARGET = ["target_id", "target_name", "outcome", "code", "message"]


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    product.disable_logging()
    findings = Findings()
    stage.desk(empty_trail)
    append_concurrently(findings)
    findings.add(stage.desk(tamper, options["seed"], options["n"]))
    times = max(options["n"] // STORAGE_SHARE, 1)
    findings.add(stage.desk(storage.tamper, options["seed"], times, all_errors))
    return findings


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Run without what finds a tampering, so that each is a violation.

    Without an expected head a deleted tail is not found, without the lock writers
    collide, and the chain does not cover the storage.
    """
    product.disable_logging()
    findings = Findings()
    if stage.database == "postgres":
        append_concurrently(findings, locked=False)
    stage.desk(empty_trail)
    findings.add(stage.desk(tamper, options["seed"], CONTROL_RUNS, False))
    times = CONTROL_RUNS // STORAGE_SHARE
    findings.add(stage.desk(storage.tamper, options["seed"], times, errors_of_rows))
    return findings


def all_errors() -> list[str]:
    return verify_database()[1]


def errors_of_rows() -> list[str]:
    """Return what the chain alone finds, without the triggers."""
    trail = verify_trail()
    return [] if trail.broken_at is None else [trail.why]


# --- Many writers
def append_concurrently(findings: Findings, locked: bool = True) -> None:
    writers = [Child(run_writer, n, locked) for n in range(WRITERS)]
    refused = 0
    for writer in writers:
        refused += writer.pipe.recv()
        writer.wait()
    finding, numbers = verify_and_list()
    connections.close_all()
    kind = "" if locked else "_without_lock"
    findings.numbers[f"appended_by_{WRITERS}_writers{kind}"] += len(numbers)
    gaps = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
    wrong = (
        [f"the trail of {WRITERS} writers: event {finding.broken_at} {finding.why}"]
        if finding.broken_at
        else []
    )
    wrong += (
        [f"{refused} events of {WRITERS} writers had an id that was taken"]
        if refused
        else []
    )
    wrong += [f"{gaps} gaps"] if gaps else []
    findings.violations += wrong


def verify_and_list() -> tuple[Any, list[int]]:
    return verify_trail(), list(
        Event.objects.order_by("id").values_list("id", flat=True)
    )


def run_writer(pipe: Connection, number: int, locked: bool) -> None:
    """Send how often the database rejected a second event with the same id."""
    if not locked:
        chain.lock_chain = lambda: None
    pipe.send(append_events_of_writer(number, APPENDS))


def append_events_of_writer(number: int, times: int) -> int:
    refused = 0
    for n in range(times):
        try:
            record_event(
                "login",
                actor_name=f"writer {number}",
                ticket=str(n),
                targets=[("d", "", "ok")],
            )
        except DatabaseError:
            refused += 1
    connections.close_all()
    return refused


def empty_trail() -> None:
    """Delete the events of the setup, as only the owner of the database can."""
    with WithoutTriggers() as force:
        for table in ("audit_reasonword", *triggers.DELETABLE):
            force(f"DELETE FROM {table}")


# --- The attacker, who owns the database
class WithoutTriggers:
    """Drop the triggers, and install them again at the end."""

    def __enter__(self) -> Callable[..., None]:
        for table in triggers.DELETABLE:
            on = f" ON {table}" if db.vendor == "postgresql" else ""
            for action in triggers.trigger_actions():
                self.execute(f"DROP TRIGGER IF EXISTS {table}_{action}{on}")
        return self.execute

    def execute(self, sql: str, *params: Any) -> None:
        with db.cursor() as cursor:
            cursor.execute(sql, params)

    def __exit__(self, *exception: object) -> None:
        if not exception[0]:
            triggers.install_triggers()


class Trail:
    """A random trail, with or without a key, in a transaction that is rolled back."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        settings.AUDIT_KEY = self.key = dice.choice(["", KEY])
        for _n in range(dice.randint(4, 30)):
            self.append()
        self.events = {
            row[0]: dict(zip(chain.COLUMNS, row, strict=True)) for row in event_rows()
        }
        self.outcomes = outcome_rows()
        self.first, self.last = min(self.events), max(self.events)

    def append(self) -> None:
        dice = self.dice
        targets = [
            (
                f"d{dice.randrange(99)}",
                "Lamp",
                *dice.choice([("ok", "", ""), ("failed", "IOTDA.015204", "full")]),
            )
            for _n in range(dice.choice([0, 1, 1, 2, 4]))
        ]
        record_event(
            dice.choice(["operation.asked", "chunk.answered", "login"]),
            actor_name=dice.choice(["Ada", "Bo", ""]),
            reason="unpaid",
            ticket=f"INC-{dice.randrange(99)}",
            detail={"n": dice.randrange(99)},
            targets=targets,
        )

    def event(self) -> int:
        return self.dice.choice(sorted(self.events))

    def inner(self) -> int:
        """Return an event that is not the last, because deleting that one cuts the tail."""
        return self.dice.randint(self.first, self.last - 1)

    def outcome(self) -> dict[str, Any] | None:
        return self.dice.choice(self.outcomes) if self.outcomes else None


def event_rows() -> list[tuple[Any, ...]]:
    with db.cursor() as cursor:
        columns = ", ".join(db.ops.quote_name(name) for name in chain.COLUMNS)
        cursor.execute(f"SELECT {columns} FROM audit_event ORDER BY id")
        return list(cursor.fetchall())


def outcome_rows() -> list[dict[str, Any]]:
    names = ["id", "event_id", *TARGET]
    with db.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(names)} FROM audit_outcome ORDER BY id")
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


# --- The tamperings: each returns the event to be named; None if it does not apply
type ExpectedEvent = int | None


def flip_bit(dice: random.Random, value: Any) -> Any:
    """Return another value that differs in one bit."""
    match value:
        case bool():
            return not value
        case int():
            return value ^ 1 << dice.randrange(20)
        case datetime():
            return value + timedelta(
                microseconds=dice.choice([-1, 1]) * (1 << dice.randrange(40))
            )
        case None:
            return 0
        case "":
            return "\x01"
    at = dice.randrange(len(value))
    return value[:at] + chr(ord(value[at]) ^ 1 << dice.randrange(5)) + value[at + 1 :]


def flip(trail: Trail, force: Any) -> ExpectedEvent:
    seq, column = trail.event(), trail.dice.choice(COLUMNS)
    value = flip_bit(trail.dice, trail.events[seq][column])
    if isinstance(value, str) and "\0" in value:
        return None
    set_column(force, "audit_event", column, value, seq)
    return seq


def flip_id(trail: Trail, force: Any) -> ExpectedEvent:
    seq = trail.inner()
    set_column(force, "audit_event", "id", seq | 1 << trail.dice.randint(10, 40), seq)
    return seq


def flip_outcome(trail: Trail, force: Any) -> ExpectedEvent:
    one, column = trail.outcome(), trail.dice.choice(TARGET)
    if one is None or "\0" in (value := flip_bit(trail.dice, one[column])):
        return None
    set_column(force, "audit_outcome", column, value, one["id"])
    return int(one["event_id"])


def edit(trail: Trail, force: Any) -> ExpectedEvent:
    seq = trail.event()
    column, value = trail.dice.choice(
        [
            ("actor_name", "Eve"),
            ("detail", "{}"),
            ("reason", ""),
            ("hash", "0" * 64),
            ("at", "2020-01-01 00:00:00"),
        ]
    )
    if trail.events[seq][column] == value:
        return None
    set_column(force, "audit_event", column, value, seq)
    return seq


def delete(trail: Trail, force: Any) -> ExpectedEvent:
    seq = trail.inner()
    if trail.dice.random() < 0.5:
        force("DELETE FROM audit_outcome WHERE event_id = %s", seq)
    force("DELETE FROM audit_event WHERE id = %s", seq)
    return seq


def delete_and_close_the_gap(trail: Trail, force: Any) -> ExpectedEvent:
    seq = trail.inner()
    force("DELETE FROM audit_outcome WHERE event_id = %s", seq)
    force("DELETE FROM audit_event WHERE id = %s", seq)
    for later in range(seq + 1, trail.last + 1):
        set_column(force, "audit_event", "id", later - 1, later)
    force("UPDATE audit_outcome SET event_id = event_id - 1 WHERE event_id > %s", seq)
    return seq


def delete_outcome(trail: Trail, force: Any) -> ExpectedEvent:
    if (one := trail.outcome()) is None:
        return None
    force("DELETE FROM audit_outcome WHERE id = %s", one["id"])
    return int(one["event_id"])


def insert(trail: Trail, force: Any) -> ExpectedEvent:
    """Insert an event. Without a key its hash is valid, and the next event breaks."""
    seq = trail.inner()
    for later in range(trail.last, seq, -1):
        set_column(force, "audit_event", "id", later + 1, later)
    force("UPDATE audit_outcome SET event_id = event_id + 1 WHERE event_id > %s", seq)
    add(
        force,
        {**trail.events[seq], "id": seq + 1, "actor_name": "Eve", "key_id": ""},
        made_up=bool(trail.key),
    )
    return seq + 1 if trail.key else seq + 2


def append_wrong(trail: Trail, force: Any) -> ExpectedEvent:
    add(
        force,
        {**trail.events[trail.last], "id": trail.last + 1, "actor_name": "Eve"},
        made_up=True,
    )
    return trail.last + 1


def insert_outcome(trail: Trail, force: Any) -> ExpectedEvent:
    seq = trail.dice.randint(trail.first, trail.last + 1)
    sql = f"INSERT INTO audit_outcome (event_id, {', '.join(TARGET)}) VALUES (%s, 'd', '', 'ok', '', '')"
    force(sql, seq)
    return seq


def plant_word(trail: Trail, force: Any) -> ExpectedEvent:
    """Add a word to a future event, which would be blamed for it."""
    seq = trail.last + trail.dice.randint(1, 99)
    force("INSERT INTO audit_reasonword (word, event_id) VALUES ('planted', %s)", seq)
    return seq


def move_outcome(trail: Trail, force: Any) -> ExpectedEvent:
    to = trail.dice.randint(trail.first, trail.last + 3)
    if (one := trail.outcome()) is None or one["event_id"] == to:
        return None
    set_column(force, "audit_outcome", "event_id", to, one["id"])
    return min(int(one["event_id"]), to)


def reorder_outcomes(trail: Trail, force: Any) -> ExpectedEvent:
    for one, other in zip(trail.outcomes, trail.outcomes[1:], strict=False):
        if one["event_id"] == other["event_id"] and any(
            one[name] != other[name] for name in TARGET
        ):
            exchange(force, "audit_outcome", one["id"], other["id"])
            return int(one["event_id"])
    return None


def swap(trail: Trail, force: Any) -> ExpectedEvent:
    first, second = sorted(trail.dice.sample(sorted(trail.events), 2))
    exchange(force, "audit_event", first, second)
    return first


def rechain(trail: Trail, force: Any) -> ExpectedEvent:
    """Rewrite the hashes without the key, with a guessed key, or with the id of the key."""
    if not trail.key:
        return None
    seq = trail.dice.randint(trail.first + 1, trail.last)
    set_column(force, "audit_event", "actor_name", "Eve", seq)
    key = trail.dice.choice(["", GUESSED])
    rewrite_hashes(force, seq, key, chain.key_id(trail.dice.choice([key, trail.key])))
    return seq


def rechain_all(trail: Trail, force: Any) -> ExpectedEvent:
    """Without a key the rewritten trail is valid, but has another head."""
    if trail.key:
        return None
    set_column(force, "audit_event", "actor_name", "Eve", trail.event())
    rewrite_hashes(force, trail.first, "", "")
    return trail.last


def rechain_without_key(trail: Trail, force: Any) -> ExpectedEvent:
    """Rewrite the hashes as if there had never been a key."""
    if not trail.key:
        return None
    rewrite_hashes(force, trail.first, "", "")
    return trail.last


def anchor(trail: Trail, force: Any) -> ExpectedEvent:
    seq = trail.inner()
    force(INSERT_ANCHOR, seq, trail.events[seq]["hash"])
    return seq


def anchor_and_prune(trail: Trail, force: Any) -> ExpectedEvent:
    """Delete the beginning as if it were archived; no event records that."""
    seq = anchor(trail, force)
    for part in (triggers.OUTCOME, triggers.WORD):
        force(f"DELETE FROM {part} WHERE event_id <= %s", seq)
    force("DELETE FROM audit_event WHERE id <= %s", seq)
    return seq


def cut_tail(trail: Trail, force: Any) -> ExpectedEvent:
    seq = trail.event()
    for part in (triggers.OUTCOME, triggers.WORD):
        force(f"DELETE FROM {part} WHERE event_id >= %s", seq)
    force("DELETE FROM audit_event WHERE id >= %s", seq)
    return seq


TAMPERINGS: list[Callable[[Trail, Any], ExpectedEvent]] = [
    *[flip] * 4, flip_id, flip_outcome, flip_outcome, edit, edit, delete, delete_and_close_the_gap,
    delete_outcome, insert, append_wrong, insert_outcome, plant_word, move_outcome, reorder_outcomes, swap,
    swap, rechain, rechain, rechain_all, rechain_without_key, anchor, anchor_and_prune, cut_tail, cut_tail,
]  # fmt: skip


# A deleted tail, or a trail rewritten without a key, is found only with a head.
NEEDS_EXPECT = [cut_tail, rechain_all]


def set_column(force: Any, table: str, column: str, value: Any, id: Any) -> None:
    force(
        f"UPDATE {table} SET {db.ops.quote_name(column)} = %s WHERE id = %s", value, id
    )


def exchange(force: Any, table: str, one: int, other: int) -> None:
    for old, new in ((one, -1), (other, one), (-1, other)):
        set_column(force, table, "id", new, old)


def add(force: Any, row: dict[str, Any], made_up: bool) -> None:
    """Insert an event; if it is ``made_up``, with a wrong hash."""
    columns = ", ".join(db.ops.quote_name(name) for name in chain.COLUMNS)
    marks = ", ".join(["%s"] * len(chain.COLUMNS))
    row = row | {"hash": "f" * 64}
    force(f"INSERT INTO audit_event ({columns}) VALUES ({marks})", *row.values())
    if not made_up:
        rewrite_hashes(force, row["id"], "", row["key_id"], only=True)


def rewrite_hashes(
    force: Any, seq: int, key: str, named: str, only: bool = False
) -> None:
    """Rewrite the hashes from an event on. ``named`` is the key id in the rows."""
    known, settings.AUDIT_KEY = settings.AUDIT_KEY, key
    name, chain.key_with_id = chain.key_with_id, lambda id: key.encode()
    before = ""
    try:
        for *row, hash in event_rows_after(0):
            if row[0] == seq if only else row[0] >= seq:
                row[-1] = named
                hash = chain.event_hash(
                    before, row, targets_of_events(row[0] - 1, row[0]).get(row[0], [])
                )
                force(
                    "UPDATE audit_event SET hash = %s, key_id = %s WHERE id = %s",
                    hash,
                    named,
                    row[0],
                )
            before = hash
    finally:
        settings.AUDIT_KEY, chain.key_with_id = known, name


# --- The run
def tamper(seed: int, times: int, expecting: bool = True) -> Findings:
    """Tamper with random trails.

    Without ``expecting``, verify without a head, and do only what needs one.
    """
    findings, dice = Findings(), random.Random(seed)
    known = settings.AUDIT_KEY
    try:
        while findings.numbers["tamperings"] < times:
            with transaction.atomic():
                tamper_with_one_trail(
                    dice,
                    min(PER_TRAIL, times - findings.numbers["tamperings"]),
                    expecting,
                    findings,
                )
                transaction.set_rollback(True)
    finally:
        settings.AUDIT_KEY = known
    return findings


def tamper_with_one_trail(
    dice: random.Random, times: int, expecting: bool, findings: Findings
) -> None:
    with WithoutTriggers() as force:
        for table in ("audit_reasonword", *triggers.DELETABLE):
            force(f"DELETE FROM {table}")
    trail = Trail(dice)
    head = str(chain_head())
    untouched = verify_trail(head)
    findings.violations += (
        [f"untouched: {untouched.why}"] if untouched.broken_at is not None else []
    )
    check_rejected_statements(findings)
    for _n in range(times):
        with transaction.atomic():
            tamper_once(
                trail,
                head,
                dice.choice(TAMPERINGS if expecting else NEEDS_EXPECT),
                expecting,
                findings,
            )
            transaction.set_rollback(True)


def tamper_once(
    trail: Trail, head: str, way: Any, expecting: bool, findings: Findings
) -> None:
    with WithoutTriggers() as force:
        wanted = way(trail, force)
    if wanted is None:
        return
    name = way.__name__
    finding = verify_trail(head if expecting and way in NEEDS_EXPECT else "")
    findings.numbers["tamperings"] += 1
    findings.moments[name.replace("_", " ")] += 1
    keyed = "with a key" if trail.key else "without a key"
    if finding.broken_at is None:
        findings.violations.append(f"{name}, {keyed}: not found")
    elif finding.broken_at != wanted:
        findings.violations.append(
            f"{name}, {keyed}: event {finding.broken_at} named, not {wanted}: {finding.why}"
        )


def check_rejected_statements(findings: Findings) -> None:
    """Check that the triggers reject all changes."""
    with db.cursor() as cursor:
        cursor.execute(INSERT_ANCHOR, [0, ""])
    for table in triggers.DELETABLE:
        for sql in [
            f"UPDATE {table} SET {assignment(table)}",
            f"DELETE FROM {table}",
            *replacing_statements(table),
        ]:
            findings.numbers["changes_tried"] += 1
            try:
                with transaction.atomic(), db.cursor() as cursor:
                    cursor.execute(sql)
                    if cursor.rowcount != 0:
                        findings.violations.append(f"not refused: {sql}")
            except DatabaseError:
                findings.numbers["changes_refused"] += 1
    with WithoutTriggers() as force:
        force("DELETE FROM audit_anchor")


def assignment(table: str) -> str:
    columns = {
        triggers.EVENT: "reason",
        triggers.OUTCOME: "message",
        triggers.WORD: "word",
        triggers.ANCHOR: "archive",
    }
    return f"{columns[table]} = 'x'"


def replacing_statements(table: str) -> list[str]:
    """Return statements that delete or replace rows in other ways."""
    key = triggers.PRIMARY_KEYS[table]
    again = f"INTO {table} SELECT * FROM {table}"
    if db.vendor == "postgresql":
        return [
            f"TRUNCATE {table}",
            f"INSERT {again} ON CONFLICT ({key}) DO UPDATE SET {assignment(table)}",
        ]
    return [f"REPLACE {again}"]
