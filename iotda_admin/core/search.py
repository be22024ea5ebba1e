"""Matches what people type or paste into a search box."""

import re
import unicodedata
from itertools import islice, product

from django.db.models import Q

from iotda_admin.core.tidy import tidy

# The most combinations of cases of one text; names with more such letters are rare.
SPELLINGS = 16
OPERATION = re.compile(r"(?:OP[\s#:_–—-]*|#\s*)?([0-9]{1,18})", re.IGNORECASE)


def equals(text: str, *fields: str) -> Q:
    """Match rows that have the text as the whole of a field, in any case."""
    return Q.create(
        [(f"{f}__iexact", each) for f in fields for each in spellings(text)], Q.OR
    )


def spellings(text: str) -> list[str]:
    """Return the text as typed, and tidied like an ID, for a search in any case.

    SQLite folds the case of ASCII only, so other letters come in both cases.
    """
    tidied = unicodedata.normalize("NFKC", tidy(text))
    found = dict.fromkeys([text, *([tidied] if tidied else [])])
    for each in tuple(found):
        letters = [c if c.isascii() else {c.lower(), c.upper()} for c in each]
        found |= dict.fromkeys(map("".join, islice(product(*letters), SPELLINGS)))
    return list(found)


def operation_number(text: str) -> int | None:
    """Return the number of an operation as people write it: OP-12, op 12, #12, 12."""
    found = OPERATION.fullmatch(tidy(text))
    return int(found[1]) if found else None
