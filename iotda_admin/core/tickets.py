"""Tickets of another system: how they are written, and where they are."""

import re
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from iotda_admin.core.forms import LineField


class TicketField(LineField):
    """A ticket as ``TICKET_PATTERN`` wants it; without a pattern, any text of one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=64, **options)

    def validate(self, value: str) -> None:
        if self.required and not value:
            message = _("Give the ticket, such as %(example)s.")
            raise ValidationError(message % {"example": example()}, code="required")
        if value and not re.fullmatch(settings.TICKET_PATTERN, value):
            message = _("“%(ticket)s” is not a ticket. Write it like %(example)s.")
            facts = {"ticket": value, "example": example()}
            raise ValidationError(message % facts, code="invalid")


def example() -> str:
    return str(settings.TICKET_EXAMPLE)


def ticket_url(ticket: str) -> str:
    """Return the address of a ticket; empty without ``TICKET_URL``.

    A ticket from before the pattern has none.
    """
    known = ticket and re.fullmatch(settings.TICKET_PATTERN, ticket)
    if not known or not settings.TICKET_URL:
        return ""
    return settings.TICKET_URL.replace("{ticket}", quote(ticket, safe=""))
