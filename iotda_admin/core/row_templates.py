"""Rows of a long list that are alike except for their texts.

Rendering the template of one row takes about a millisecond. A list has 50 rows of few
kinds, so each kind is rendered once in the life of the process, with marks where the
texts of a row are. A row of that kind is these pieces with its own texts, escaped.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from django.template.loader import render_to_string
from django.urls import get_script_prefix
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

KINDS_KEPT = 500
SPACES = re.compile(r"\s+")
TAG = re.compile(r" ?(<[^>]*>) ?")
# No text of a row can contain a mark: each process has its own.
TOKEN = secrets.token_hex(8)
MARK = re.compile(rf"mark-([a-z_]+)-{TOKEN}")


def mark(name: str) -> str:
    """Return what replaces a text of a row in its kind. Links can be made of it."""
    return f"mark-{name}-{TOKEN}"


class RowKind(Protocol):
    """What decides the markup of a row. Rows of equal kinds differ in texts only."""

    def __hash__(self) -> int: ...

    def context(self) -> dict[str, Any]:
        """Return the context of the template, with marks for the texts."""


@lru_cache(KINDS_KEPT)
def row_format(template: str, kind: RowKind, language: str | None, prefix: str) -> str:
    """Return the HTML of a kind as a format string, with the names of the texts.

    It depends on the language, and on the prefix of the site's addresses.
    """
    lines = render_to_string(template, kind.context())
    html = TAG.sub(r"\1", SPACES.sub(" ", lines))
    return MARK.sub(r"{\1}", html.replace("{", "{{").replace("}", "}}"))


def render_rows(
    template: str, rows: Iterable[tuple[RowKind, Mapping[str, object]]]
) -> SafeString:
    """Return the HTML of rows, each made of its kind and its texts."""
    language, prefix = get_language(), get_script_prefix()
    filled = [
        format_html(row_format(template, kind, language, prefix), **texts)
        for kind, texts in rows
    ]
    # Once for all rows: format_html_join formats each of them again.
    return format_html("{}" * (len(filled) + 1), "", *filled)
