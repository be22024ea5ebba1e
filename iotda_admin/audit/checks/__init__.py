"""Checks of the database around the hash chain: storage, schema and filters.

The chain proves the rows. Pages and exports find rows by indexes, so these are checked
as well. Each check returns a sentence for each error, with what to do.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from iotda_admin.audit.models import DenialCount
from iotda_admin.audit.triggers import DELETABLE

# The trail, and the denied requests that are not in it yet.
AUDIT_TABLES = [*DELETABLE, DenialCount._meta.db_table]


def fetch(sql: str, params: Sequence[Any] | None = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
