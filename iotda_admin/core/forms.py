"""Form fields that every room uses."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from iotda_admin.core.free_text import single_line
from iotda_admin.core.search import operation_number
from iotda_admin.core.tidy import tidy


class IdFilter(forms.CharField):
    """An ID to search for, without what was copied along with it."""

    def to_python(self, value: Any) -> str:
        return tidy(str(super().to_python(value)))


class CodeFilter(IdFilter):
    """An error code to search for: IoTDA's in upper case, as IoTDA writes them; ours as it is."""

    def to_python(self, value: Any) -> str:
        code = super().to_python(value)
        return code.upper() if "." in code else code


class LineField(forms.CharField):
    """Text of one line without invisible characters.

    Others could look like the text of another line, ticket or person.
    """

    def to_python(self, value: Any) -> str:
        return single_line(str(super().to_python(value)))


class OperationField(forms.CharField):
    """The number of an operation, as people write it."""

    default_error_messages = {"invalid": _("Write an operation number like OP-12.")}

    def to_python(self, value: Any) -> Any:
        text = str(super().to_python(value))
        number = operation_number(text)
        if text and number is None:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return number
