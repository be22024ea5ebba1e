"""Finds operations by what a user types into a search box, also one of something else."""

import re

from django.db.models import Q, QuerySet

from iotda_admin.access.scope import AnyUser
from iotda_admin.core.search import equals, operation_number
from iotda_admin.core.tidy import tidy
from iotda_admin.operations.models import Operation
from iotda_admin.operations.permissions import visible_operations

DIGIT = re.compile(r"\d")


def operations_named(text: str, user: AnyUser) -> QuerySet[Operation]:
    """Return the operations with this ticket, or with this number, as OP-7 or #7.

    A number alone is no operation, and a word without digits no ticket: while a name is
    typed, most of its letters need no query.
    """
    if not DIGIT.search(text):
        return Operation.objects.none()
    named = with_ticket(text)
    number = operation_number(text)
    if number is not None and not tidy(text).isdecimal():
        named |= Q(pk=number)
    return visible_operations(user).filter(named)


def with_ticket(ticket: str) -> Q:
    """Return a condition that the index of the tickets answers."""
    found = Operation.objects.filter(equals(ticket, "ticket")).exclude(ticket="")
    return Q(pk__in=found.order_by().values("pk"))
