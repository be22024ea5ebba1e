"""Matches what people type or paste into a search box."""

from django.db.models import Q

from iotda_admin.core.tidy import tidy


def contains(text: str, *fields: str) -> Q:
    """Match rows that have the text in a field: as typed, or tidied like an ID."""
    parts = {text, tidy(text) or text}
    return Q.create([(f"{f}__icontains", p) for f in fields for p in parts], Q.OR)
