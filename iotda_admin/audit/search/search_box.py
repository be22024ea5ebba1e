"""The search box of the audit trail: find the filter that the typed text belongs to."""

import re

from django.http import QueryDict

from iotda_admin.access.scope import AnyUser
from iotda_admin.audit.search.filters import AuditFilterForm
from iotda_admin.audit.search.indexes import Span
from iotda_admin.audit.search.query import TrailSearch
from iotda_admin.core.search import operation_number
from iotda_admin.core.tidy import tidy

# The most frequent first. A user whose account was changed is also a target; actor comes
# before target, so that the search shows what the user did.
FILTERS_TO_TRY = ["ticket", "actor", "target", "policy", "code"]
MAX_LENGTH = 128


def filter_for_text(text: str, user: AnyUser) -> dict[str, str]:
    """Return the first filter that finds an event the user may see, else reason."""
    text = (tidy(text) or text)[:MAX_LENGTH]
    if re.fullmatch(r"(?i:OP-)[0-9]{1,18}", text):
        return {"operation": text}
    for name in FILTERS_TO_TRY:
        if finds_events(name, text, user):
            return {name: text}
    # Numbers alone are more often words of a reason.
    if operation_number(text) is not None and not text.isdecimal():
        return {"operation": text}
    return {"reason": text}


def finds_events(name: str, text: str, user: AnyUser) -> bool:
    query = QueryDict(mutable=True)
    query[name] = text
    return bool(TrailSearch(AuditFilterForm(query), user).page(Span(), 1).ids)
