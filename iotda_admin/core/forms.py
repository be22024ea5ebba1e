"""Form fields that every room uses."""

from typing import Any

from django import forms

from iotda_admin.core.tidy import strip_invisible, tidy


class IdFilter(forms.CharField):
    """An ID to search for, without what was copied along with it."""

    def to_python(self, value: Any) -> str:
        return tidy(str(super().to_python(value)))


class VisibleText(forms.CharField):
    """Text without invisible characters: a name that has some looks like another."""

    def to_python(self, value: Any) -> str:
        return strip_invisible(str(super().to_python(value))).strip()
