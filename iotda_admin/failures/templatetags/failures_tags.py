"""Links of the failures page."""

from typing import Any

from django import template

register = template.Library()


@register.simple_tag(takes_context=True)
def narrowed_to(context: template.Context, group: Any) -> str:
    """Return the query string of this page, narrowed to one group of failures."""
    query = context["request"].GET.copy()
    for parameter in ("can", "after", "before", "asked"):
        query.pop(parameter, None)
    query.update(group.key)
    return f"?{query.urlencode()}"
