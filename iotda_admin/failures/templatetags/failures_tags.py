"""Links of the failures page."""

from django import template

from iotda_admin.failures.queries import FailureGroup

register = template.Library()


@register.simple_tag(takes_context=True)
def narrowed_to(context: template.Context, group: FailureGroup) -> str:
    """Return the query string of this page, narrowed to one group of failures."""
    query = context["request"].GET.copy()
    for parameter in ("can", "after", "before", "asked"):
        query.pop(parameter, None)
    query.update(group.query)
    return f"?{query.urlencode()}"
