"""Form fields that every room uses."""

from typing import Any

from django import forms

from iotda_admin.core.free_text import single_line
from iotda_admin.core.tidy import tidy


class IdFilter(forms.CharField):
    """An ID to search for, without what was copied along with it."""

    def to_python(self, value: Any) -> str:
        return tidy(str(super().to_python(value)))


class LineField(forms.CharField):
    """Text of one line without invisible characters.

    Others could look like the text of another line, ticket or person.
    """

    def to_python(self, value: Any) -> str:
        return single_line(str(super().to_python(value)))
