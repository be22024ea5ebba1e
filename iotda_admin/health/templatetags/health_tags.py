"""A warning while no worker is alive."""

from typing import Any

from django import template

from iotda_admin.health import workers

register = template.Library()


@register.inclusion_tag("parts/no_worker.html", takes_context=True)
def no_worker(context: template.Context) -> dict[str, Any]:
    return {"missing": not workers.live_workers().exists(), "user": context["user"]}
