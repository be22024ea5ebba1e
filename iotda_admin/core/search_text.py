"""Search by words, in any case and order, whatever form the characters have.

A row has one column for it, already normalised: SQLite by itself knows the case of ASCII
letters only, and PostgreSQL that of its locale.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import CharField, Model, Q, QuerySet

from iotda_admin.core.tidy import tidy

# With a device ID it fits into an index row of PostgreSQL, even if no character is ASCII.
MAX_LENGTH = 600
ALIKE = (
    dict.fromkeys(map(ord, "‘’‚‛′‹›"), "'")
    | dict.fromkeys(map(ord, "“”„‟″«»「」『』〝〞"), '"')
    | dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
)
ALIKE_SIGNS = re.compile(f"[{''.join(map(chr, ALIKE))}]")
# Variation selectors and fillers: invisible, but not in the category of format characters.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u180b-\u180f\ufe00-\ufe0f]"
)


def normalize_text(text: str) -> str:
    """Return the text in one case, form and width, without invisible characters."""
    if not text.isascii():
        text = INVISIBLE.sub("", text)
        if not text.isprintable():
            text = "".join(c for c in text if unicodedata.category(c) != "Cf")
        folded = unicodedata.normalize("NFKC", text).casefold()
        # Folding can leave the normal form, and a Turkish İ becomes i and a dot.
        text = unicodedata.normalize("NFKC", folded).replace("i\u0307", "i")
        if ALIKE_SIGNS.search(text):
            text = text.translate(ALIKE)
    return " ".join(text.casefold().split())


def visible_text(text: str) -> str:
    """Return the text of a search box; nothing if only invisible characters are in it."""
    return text.strip() if normalize_text(text) else ""


def search_text(values: Iterable[str]) -> str:
    """Return what the column of a row contains that has these values."""
    return normalize_text(" ".join(values))[:MAX_LENGTH]


class SearchTextField(CharField):  # type: ignore[type-arg]
    """The normalised text of other fields, set whenever a row is saved.

    In a migration it has no sources, and keeps its value.
    """

    def __init__(self, sources: Sequence[str] = (), **options: Any) -> None:
        fixed: dict[str, Any] = {
            "max_length": MAX_LENGTH,
            "default": "",
            "editable": False,
        }
        super().__init__(**fixed | options)
        self.sources = sources

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        if self.sources:
            values = [getattr(model_instance, name) for name in self.sources]
            setattr(model_instance, self.attname, self.text_of(values))
        return super().pre_save(model_instance, add)

    def text_of(self, values: Sequence[str]) -> str:
        return search_text(values)


class TidyTextField(SearchTextField):
    """The tidy form of another field, where it differs: lists of names are tidied, too."""

    def text_of(self, values: Sequence[str]) -> str:
        return untidy_as_tidy(*values)


def untidy_as_tidy(text: str) -> str:
    """Return the tidy form of a text that has another one, else nothing."""
    return "" if (tidied := tidy(text)) == text else tidied


def search_text_fields(model: type[Model]) -> list[SearchTextField]:
    fields = model._meta.concrete_fields
    return [each for each in fields if isinstance(each, SearchTextField)]


def rows_with_words[M: Model](rows: QuerySet[M], text: str) -> QuerySet[M]:
    """Return the rows that contain all words of the text."""
    words, *others = readings(text)
    found = rows.filter(has_words(words))
    return rows.filter(has_words(others[0])) if others and not found.exists() else found


def readings(text: str) -> list[set[str]]:
    """Return the words of a text, and then those to search for if nothing has them.

    Quotes, brackets and commas around a word count only if a row has them too.
    """
    words = set(normalize_text(text).split())
    bare = {tidy(word) for word in words} - {""}
    return [words] if bare in (words, set()) else [words, bare]


def has_words(words: Iterable[str]) -> Q:
    return Q(*(("search_text__contains", word) for word in sorted(words)))
