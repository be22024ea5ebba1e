"""Move every table from a SQLite file to the PostgreSQL database of the settings.

All in one transaction of PostgreSQL: a move that fails or is interrupted leaves an empty
database, and can be repeated.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import Max, Model

from iotda_admin.access.models import RoleLimit
from iotda_admin.audit.canonical import canonical_json
from iotda_admin.audit.head import Head
from iotda_admin.audit.models import Event
from iotda_admin.audit.verify import Verification, verify_trail
from iotda_admin.core.bulk_sql import table_with_columns
from iotda_admin.health.models import SecretKeyDigest
from iotda_admin.maintenance.source import (
    SOURCE,
    MaintenanceError,
    highest_ids,
    open_source,
    require_movable,
    stored_tables,
    table_name,
    unchanged_snapshot,
    unknown_tables,
)

# The rows in memory.
ROWS_PER_READ = 2000
# What migrating and a first start write to an empty database. The rows of the source
# replace them, with its IDs.
SEEDED: set[type[Model]] = {
    ContentType,
    Permission,
    Group,
    Group.permissions.through,
    RoleLimit,
    SecretKeyDigest,
}
LOCK_TIMEOUT = "5s"


@dataclass(frozen=True)
class TableContent:
    """The number of rows of a table, and a digest of their values in any order."""

    rows: int
    digest: int


@dataclass(frozen=True)
class Move:
    """What was moved: the rows of each table, and the verified audit trail."""

    rows: dict[str, int]
    trail: Verification
    left: list[str]


class ContentDigest:
    """Adds up a table row by row. The order does not matter: databases sort differently."""

    def __init__(self) -> None:
        self.rows = self.total = 0

    def add(self, row: tuple[Any, ...]) -> None:
        self.rows += 1
        data = repr([*map(comparable, row)]).encode("utf-8", "surrogatepass")
        self.total += int.from_bytes(blake2b(data, digest_size=16).digest())

    def content(self) -> TableContent:
        return TableContent(self.rows, self.total % 2**128)


def move_database(path: Path) -> Move:
    """Move all tables. Raises MaintenanceError; then nothing was moved."""
    if connection.vendor != "postgresql":
        raise MaintenanceError(
            "DATABASE_URL is not the address of a PostgreSQL database."
        )
    with open_source(path) as source:
        require_movable(source)
        require_empty_target()
        call_command("migrate", verbosity=0, interactive=False)
        with transaction.atomic(), unchanged_snapshot(source):
            lock_target()
            require_empty_target()
            clear_seeded()
            copied = {model: copy_table(model) for model in stored_tables()}
            continue_sequences(source)
            trail = verify_target(copied)
        with connection.cursor() as cursor:
            # Without statistics the first queries would be planned badly.
            cursor.execute("ANALYZE")
        rows = {table_name(model): content.rows for model, content in copied.items()}
        return Move(rows, trail, unknown_tables(source))


def require_empty_target() -> None:
    existing = set(connection.introspection.table_names())
    filled = [
        table_name(model)
        for model in stored_tables()
        if table_name(model) in existing
        and model not in SEEDED
        and model._base_manager.exists()
    ]
    if filled:
        raise MaintenanceError(
            f"The target is not empty: {', '.join(filled)}. Stop all processes that use "
            "it, and create an empty database."
        )


def lock_target() -> None:
    """Let no other process write to the target before the move is committed."""
    tables = ", ".join(
        connection.ops.quote_name(table_name(model)) for model in stored_tables()
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            cursor.execute(f"LOCK TABLE {tables} IN EXCLUSIVE MODE")
    except OperationalError as error:
        raise MaintenanceError(
            "Another process writes to the target. Stop all processes that use it."
        ) from error


def clear_seeded() -> None:
    # Plain SQL: the ORM would send signals, which record changes of roles.
    with connection.cursor() as cursor:
        for model in SEEDED:
            table = connection.ops.quote_name(table_name(model))
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608


def read_rows(model: type[Model], alias: str) -> Iterator[tuple[Any, ...]]:
    names = [field.attname for field in model._meta.concrete_fields]
    rows = model._base_manager.using(alias).order_by("pk").values_list(*names)
    yield from rows.iterator(ROWS_PER_READ)


def comparable(value: Any) -> Any:
    """Return a value in the form that it has on every database."""
    match value:
        case memoryview():
            return bytes(value)
        case dict() | list():
            # PostgreSQL does not keep the order of keys.
            return canonical_json(value)
    return value


def copy_table(model: type[Model]) -> TableContent:
    """Copy all rows of a table in one COPY, and return what was read."""
    fields = model._meta.concrete_fields
    columns = [str(field.column) for field in fields]
    sql = f"COPY {table_with_columns(table_name(model), columns)} FROM STDIN"
    digest = ContentDigest()
    try:
        with (
            connection.cursor() as cursor,
            connection.wrap_database_errors,
            cursor.copy(sql) as copy,
        ):
            for row in read_rows(model, SOURCE):
                digest.add(row)
                values = zip(fields, row, strict=True)
                copy.write_row([f.get_db_prep_save(v, connection) for f, v in values])
    except (DatabaseError, ValueError) as error:
        raise MaintenanceError(
            f"{table_name(model)}, row {digest.rows}: {error}"
        ) from error
    return digest.content()


def continue_sequences(source: Any) -> None:
    """Let new rows get IDs that no row of the source ever had."""
    highest = highest_ids(source)
    with connection.cursor() as cursor:
        for model in stored_tables():
            table, key = table_name(model), model._meta.auto_field
            if key is None:
                continue
            last = model._base_manager.aggregate(last=Max("pk"))["last"] or 0
            if last := max(last, highest.get(table, 0)):
                sequence = [connection.ops.quote_name(table), key.column]
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s)",
                    [*sequence, last],
                )


def verify_target(copied: dict[type[Model], TableContent]) -> Verification:
    """Read everything back: each table, the foreign keys, and the audit trail."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for model, content in copied.items():
        digest = ContentDigest()
        for row in read_rows(model, DEFAULT_DB_ALIAS):
            digest.add(row)
        if digest.content() != content:
            raise MaintenanceError(
                f"{table_name(model)} differs: {content.rows} rows were read, "
                f"{digest.rows} arrived."
            )
    trail = verify_trail()
    if trail.broken_at is not None:
        raise MaintenanceError(
            f"The audit trail does not verify: event {trail.broken_at} {trail.why}. "
            "Run manage.py audit_verify on the source, and check AUDIT_KEY."
        )
    if trail.head != (head := source_head()):
        raise MaintenanceError(
            f"The audit trail ends with {trail.head}, not with {head}."
        )
    return trail


def source_head() -> Head:
    last = Event.objects.using(SOURCE).order_by("-id").values_list("id", "hash").first()
    return Head(*(last or (0, "")))
