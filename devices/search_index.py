"""The trigram index of `search_text`: which devices have these three characters in a row.

On SQLite it is a table of FTS5 that triggers keep, on PostgreSQL an index of pg_trgm.
Made after each ``migrate`` and not by a migration: on SQLite a later change of the table
drops its triggers, and on PostgreSQL the extension may be allowed later.
"""

import json
import logging
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Lookup
from django.db.models.sql.compiler import SQLCompiler

from devices.models import Device

log = logging.getLogger(__name__)

TABLE = Device._meta.db_table
INDEX, TERMS = "devices_search", "devices_search_terms"
# More terms than this are too many for one query; the rows are read one by one then.
TERMS_SOUGHT = 200
# After the two blanks each pair of characters begins a trigram.
ADD = f"INSERT INTO {INDEX} (rowid, text) VALUES (NEW.rowid, NEW.search_text || '  ')"  # noqa: S608
REMOVE = (
    f"INSERT INTO {INDEX} ({INDEX}, rowid, text)"  # noqa: S608
    " VALUES ('delete', OLD.rowid, OLD.search_text || '  ')"
)
TRIGGERS = {
    "insert": f"INSERT ON {TABLE} BEGIN {ADD}; END",
    "delete": f"DELETE ON {TABLE} BEGIN {REMOVE}; END",
    # A sync sets the text of each row that it writes; it rarely differs.
    "update": f"UPDATE OF search_text ON {TABLE}"
    f" WHEN OLD.search_text <> NEW.search_text BEGIN {REMOVE}; {ADD}; END",
}
MAKE_TABLES = [
    f"CREATE VIRTUAL TABLE {INDEX} USING fts5(text, content='', columnsize=0,"
    " detail=none, tokenize='trigram case_sensitive 1')",
    f"CREATE VIRTUAL TABLE {TERMS} USING fts5vocab({INDEX}, row)",
]
FILL = (
    f"INSERT INTO {INDEX} (rowid, text) SELECT rowid, search_text || '  ' FROM {TABLE}"  # noqa: S608
)
MAKE_POSTGRESQL_INDEX = (
    f"CREATE INDEX {INDEX} ON {TABLE} USING gin (search_text gin_trgm_ops)"
)
# FTS5 replaces them in a text.
REPLACED = dict.fromkeys([0xFFFE, 0xFFFF], 0xFFFD)


def install_search_index(**_: Any) -> None:
    """Make the index if the table has its column and no index yet."""
    with transaction.atomic(), connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, TABLE)
        if "search_text" not in {column.name for column in columns}:
            return
        if connection.vendor == "postgresql":
            install_postgresql_index(cursor)
        elif not search_index_intact(cursor):
            install_sqlite_index(cursor)


def search_triggers() -> dict[str, str]:
    """Return the statement of each trigger, by name, as SQLite stores it."""
    return {
        f"{INDEX}_{action}": f"CREATE TRIGGER {INDEX}_{action} AFTER {body}"
        for action, body in TRIGGERS.items()
    }


def search_index_intact(cursor: Any) -> bool:
    cursor.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s",
        [TABLE],
    )
    return {sql for (sql,) in cursor.fetchall()} >= {*search_triggers().values()}


def install_sqlite_index(cursor: Any) -> None:
    """Make the table and its triggers, and read all rows."""
    for name in search_triggers():
        cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
    for table in (TERMS, INDEX):
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
    for sql in (*MAKE_TABLES, FILL, *search_triggers().values()):
        cursor.execute(sql)


def install_postgresql_index(cursor: Any) -> None:
    """Make the index, unless the extension is missing and cannot be created."""
    cursor.execute("SELECT to_regclass(%s)", [INDEX])
    if cursor.fetchone() != (None,):
        return
    try:
        with transaction.atomic():
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            cursor.execute(MAKE_POSTGRESQL_INDEX)
    except DatabaseError as error:
        log.warning(
            "The search of devices has no index and reads every row. Create the "
            "extension pg_trgm, then run manage.py migrate again. %s",
            error,
        )


class HasRowid(Lookup):
    """The condition that a row has one of these rowids of SQLite."""

    prepare_rhs = False

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        table = connection.ops.quote_name(self.lhs.alias)
        listed = "SELECT value FROM json_each(%s)"
        return f"{table}.rowid IN ({listed})", (json.dumps(self.rhs),)


def found_by_index(query: str, limit: int) -> HasRowid | None:
    """Return the condition that FTS5 finds a device; None if it finds more than this."""
    sql = f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH %s LIMIT %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [query, limit + 1])
        rowids = [rowid for (rowid,) in cursor.fetchall()]
    return None if len(rowids) > limit else HasRowid(F("search_text"), rowids)


def index_query(words: set[str], sample: list[str]) -> str:
    """Return the query of FTS5 that finds all devices with these words, and some more.

    Empty if the index does not help. Trigrams that are frequent in the sample of texts
    are left out if there are others: they find little and take long.
    """
    grams = {word[at : at + 3] for word in words for at in range(len(word) - 2)}
    rare = {g for g in grams if 10 * sum(g in text for text in sample) < len(sample)}
    if grams:
        return " AND ".join(map(quoted, sorted(rare or grams)))
    return " AND ".join(filter(None, map(short_word_query, sorted(words))))


def short_word_query(word: str) -> str:
    """Return the query for a word of one or two characters: the trigrams that begin so."""
    if len(word) == 1 and word.isascii() and word.isalnum():
        return ""  # nearly all devices have it
    start = word.translate(REPLACED)
    sql = f"SELECT term FROM {TERMS} WHERE term >= %s AND term < %s LIMIT %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [start, f"{start}\U0010ffff", TERMS_SOUGHT + 1])
        terms = [term for (term,) in cursor.fetchall()]
    if len(terms) > TERMS_SOUGHT:
        return ""
    # A query must have a term; if none begins so, nothing is found by this one.
    return f"({' OR '.join(map(quoted, terms or [f'{start}  '[:3]]))})"


def quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'
