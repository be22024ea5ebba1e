"""The one search box: a ticket, a person, an id, a number or words, and which of them was typed."""

import re

from django.http import QueryDict

from iotda_admin.access.scope import AnyUser
from iotda_admin.audit.search.filters import AuditFilterForm
from iotda_admin.audit.search.indexes import Span
from iotda_admin.audit.search.query import TrailSearch

# In this order: what somebody who reads the trail most often has at hand. A person is a target too, where
# their account was changed: what they did comes first.
GUESSES = ["ticket", "actor", "target", "policy", "code"]
MAX_LENGTH = 128


def filter_for_text(text: str, user: AnyUser) -> dict[str, str]:
    """The filter that finds something of what somebody may see; else words of the reason."""
    text = text[:MAX_LENGTH]
    if re.fullmatch(r"(?i:OP-)[0-9]{1,18}", text):
        return {"operation": text}
    for name in GUESSES:
        if finds_events(name, text, user):
            return {name: text}
    return {"reason": text}


def finds_events(name: str, text: str, user: AnyUser) -> bool:
    query = QueryDict(mutable=True)
    query[name] = text
    return bool(TrailSearch(AuditFilterForm(query), user).page(Span(), 1).ids)
