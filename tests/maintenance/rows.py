"""Rows in every table of the product, for the tests that move or restore a database."""

import tempfile
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db.models import AutoField, Field, Model
from django.utils import timezone

from iotda_admin.audit import archive
from iotda_admin.audit.record import record_event
from iotda_admin.maintenance.source import stored_tables

SAMPLES: dict[str, Any] = {
    "CharField": "x",
    "SlugField": "x",
    "TextField": "x",
    "DateTimeField": timezone.now(),
    "BooleanField": True,
    "IntegerField": 1,
    "BigIntegerField": 1,
    "PositiveIntegerField": 1,
    "PositiveSmallIntegerField": 1,
    "FloatField": 0.1,
    "BinaryField": b"\x00\xff",
    # Not in the order in which PostgreSQL keeps keys.
    "JSONField": [{"name": "站点", "id": "1", "a": {"z": None, "b": 1.5}}],
}


def fill_every_table() -> None:
    """Give each table a row, an archived part to the audit trail, and a last user who is gone."""
    for number in range(12):
        record_event("operation.asked", actor_name="Ada", reason=f"unpaid {number}")
    folder = Path(tempfile.mkdtemp())
    archive.SEGMENT_SIZE = 5
    archive.archive_segment(archive.Segment(1, 5), folder, actor_name="Ada")
    for model in stored_tables():
        first_row(model)
    User.objects.create_user("gone").delete()


def first_row(model: type[Model]) -> Model:
    """Return a row of a table, which is made if the table is empty."""
    rows = model._base_manager
    return rows.first() or rows.create(
        **{
            field.name: sample(field)
            for field in model._meta.concrete_fields
            if not isinstance(field, AutoField)
        }
    )


def sample(field: "Field[Any, Any]") -> Any:
    if field.related_model == field.model:
        return None
    if field.related_model:
        return first_row(field.related_model)
    known = [value for value, _label in field.choices or ()]
    return known[0] if known else SAMPLES[field.get_internal_type()]
