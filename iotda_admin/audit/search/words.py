"""Finding events by words of their reason. Each word stands for all that begin with it."""

from collections.abc import Callable
from functools import lru_cache

from django.db import connection
from django.db.models import QuerySet

from iotda_admin.audit.chain import reason_words
from iotda_admin.audit.models import Event, ReasonWord

# A word that brought in more reasons than this is looked for in the newest events instead.
MAX_INDEXED_EVENTS = 2000
# After it in every order that a database may have.
LAST_CHARACTER = "\U0010ffff"


def reason_matcher(text: str) -> Callable[[str], bool]:
    """Whether a reason has all of these words."""
    wanted = reason_words(text)

    @lru_cache(maxsize=5000)
    def check(reason: str) -> bool:
        found = reason_words(reason)
        return all(any(word.startswith(each) for word in found) for each in wanted)

    return check


def events_with_words(text: str) -> list[int] | None:
    """The events that a rare word leads to, in rising order; None where all of the words are common."""
    brought = [
        ids
        for word in reason_words(text)
        if (ids := events_with_word(word)) is not None
    ]
    if not brought:
        return None
    rarest = min(brought, key=len)
    operations = Event.objects.filter(id__in=rarest, operation__gt=0).order_by()
    numbers = set(operations.values_list("operation", flat=True))
    repeated = (
        Event.objects.filter(operation__in=numbers)
        .order_by()
        .values_list("id", flat=True)
    )
    return sorted({*rarest, *repeated})


def events_with_word(word: str) -> set[int] | None:
    found = words_starting_with(word).values_list("event_id", flat=True)[
        : MAX_INDEXED_EVENTS + 1
    ]
    return set(found) if len(found) <= MAX_INDEXED_EVENTS else None


def words_starting_with(word: str) -> QuerySet[ReasonWord]:
    if connection.vendor == "postgresql":
        return ReasonWord.objects.filter(word__startswith=word)
    return ReasonWord.objects.filter(word__gte=word, word__lt=word + LAST_CHARACTER)
