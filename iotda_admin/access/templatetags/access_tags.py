from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from iotda_admin.access.kept_forms import OWNER_FIELD, sign_owner

register = template.Library()


@register.simple_tag(takes_context=True)
def form_owner(context: dict[str, Any]) -> SafeString:
    """Name the user in a form, so that it is kept for them when their session ends."""
    return format_html(
        '<input type="hidden" name="{}" value="{}">',
        OWNER_FIELD,
        sign_owner(context["user"]),
    )
