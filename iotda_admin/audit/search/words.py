"""Search events by words of their reason. A search word matches all words it starts."""

import re
from collections.abc import Callable
from functools import lru_cache

from django.db import connection
from django.db.models import QuerySet

from iotda_admin.audit.models import Event, ReasonWord

# A word with more reasons than this is searched for in the newest events instead.
MAX_INDEXED_EVENTS = 2000
# Sorts after all other characters on every database.
LAST_CHARACTER = "\U0010ffff"
WORD = re.compile(r"\w+")
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")


def reason_words(text: str) -> set[str]:
    """Return the words to index or to search for.

    Chinese, Japanese and Korean put no spaces between words. There, each pair of
    characters is a word, and so is the last character, which starts no pair.
    """
    if text.isascii():
        return {word[:40] for word in WORD.findall(text.casefold())}
    words: set[str] = set()
    for run in WORD.findall(text.casefold()):
        words |= {word[:40] for word in CJK.sub(" ", run).split()}
        for cjk in CJK.findall(run):
            words |= {cjk[n : n + 2] for n in range(len(cjk))}
    return words


def reason_matcher(text: str) -> Callable[[str], bool]:
    """Return a function that tells whether a reason has all words of the text."""
    prefixes = reason_words(text)

    @lru_cache(maxsize=5000)
    def matches(reason: str) -> bool:
        words = reason_words(reason)
        return all(
            any(word.startswith(prefix) for word in words) for prefix in prefixes
        )

    return matches


def events_with_words(text: str) -> list[int] | None:
    """Return ids of events that may match, ascending; None if every word is common."""
    found = [first_events_with_word(word) for word in reason_words(text)]
    rarest = min(found, key=len, default=set())
    if not found or len(rarest) > MAX_INDEXED_EVENTS:
        return None
    events = Event.objects.order_by()
    # The other events of an operation repeat its reason.
    operations = events.filter(id__in=rarest, operation__gt=0)
    numbers = set(operations.values_list("operation", flat=True))
    repeated = events.filter(operation__in=numbers).values_list("id", flat=True)
    return sorted({*rarest, *repeated})


def first_events_with_word(word: str) -> set[int]:
    """Return one event more than the index is used for, if there are that many."""
    ids = words_starting_with(word).values_list("event_id", flat=True).distinct()
    return set(ids[: MAX_INDEXED_EVENTS + 1])


def words_starting_with(prefix: str) -> QuerySet[ReasonWord]:
    if connection.vendor == "postgresql":
        return ReasonWord.objects.filter(word__startswith=prefix)
    return ReasonWord.objects.filter(word__gte=prefix, word__lt=prefix + LAST_CHARACTER)
