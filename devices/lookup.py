"""Finds devices by what tickets hold: serial number, IMEI, MAC address, or name."""

from collections.abc import Iterable, Sequence

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from devices.models import Device
from devices.targets import known_devices
from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.bulk_sql import among
from iotda_admin.core.ids import Candidate, Match, is_id

CANDIDATES_KEPT = 5
type Row = tuple[str, str, str, str]


def find_devices(values: Sequence[str], *, user: AnyUser | None) -> dict[str, Match]:
    """Return the devices in the user's spaces that have a value as node ID or name.

    A value that is the device ID of one has no match; a node ID precedes a name.
    """
    if not values:
        return {}
    known, devices = known_devices(values).order_by(), Device.objects.all()
    if user:
        known, devices = in_scope(known, user), in_scope(devices, user)
    # The usual case; 100,000 IDs need not be fetched for it.
    if known.count() == len(values):
        return {}
    left = set(values) - set(known.values_list("pk", flat=True))
    found = dict[str, Match]()
    for column, by in (
        ("node_id", _("node ID")),
        ("name", _("name")),
        # The values are without the quotes, blanks and full-width signs of a name.
        ("tidy_name", _("name")),
    ):
        having = devices.filter(among(column, sorted(left))).exclude(**{column: ""})
        add_matches(found, by, rows_by(having, column))
        left -= found.keys()
    return found


def rows_by(devices: QuerySet[Device], column: str) -> Iterable[Row]:
    """Yield the devices, except those whose ID cannot be sent."""
    columns = devices.values_list(column, "pk", "name", "product_name")
    return (row for row in columns.order_by("pk").iterator() if is_id(row[1]))


def add_matches(found: dict[str, Match], by: str, rows: Iterable[Row]) -> None:
    for value, *about in rows:
        match = found.setdefault(value, Match(value, by))
        match.count += 1
        if len(match.candidates) < CANDIDATES_KEPT:
            match.candidates.append(Candidate(*about))
