"""What the audit trail needs to know about apps that import it."""

from collections.abc import Callable
from typing import NamedTuple

from django.db.models import Exists


class OperationHooks(NamedTuple):
    """The verbs of operations, and queries on them.

    ``exist`` tells whether there are any, which an empty trail contradicts.
    ``reach_outside`` returns the condition that the operation of an event has a
    resource space outside the given ones.
    """

    verb_names: list[str]
    exist: Callable[[], bool]
    reach_outside: Callable[[frozenset[str]], Exists]


# Set by the AppConfig of operations.
operations: OperationHooks
