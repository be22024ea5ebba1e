"""Verbs, outcomes and error codes in words, and what a user may do with an operation."""

from typing import Any

from django import template
from django.utils.html import format_html

from iotda_admin.audit.search.filters import OUTCOMES
from iotda_admin.core.templatetags.core_tags import BADGES
from iotda_admin.operations import permissions
from iotda_admin.operations.counts import target_counts
from iotda_admin.operations.error_codes import explain_code, is_platform_code
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web import followup_views, views
from iotda_admin.operations.web.headline import TargetWords, target_words
from iotda_admin.operations.web.ticket_text import render_ticket_text

register = template.Library()
register.filter(is_platform_code)

ICONS = {
    Target.State.PENDING: "clock",
    Target.State.SENT: "sent",
    Target.State.OK: "check",
    Target.State.ALREADY: "already",
    Target.State.FAILED: "cross",
    Target.State.UNKNOWN: "unknown",
    Target.State.SKIPPED: "skip",
    Target.State.CANCELLED: "stop",
    Operation.State.RUNNING: "running",
    Operation.State.PAUSED: "warning",
    Operation.State.DONE: "check",
    Operation.State.STOPPED: "stop",
}
BADGES.update({str(state): (icon, state.label) for state, icon in ICONS.items()})
OUTCOME_LABELS: dict[str, Any] = dict(Target.State.choices) | dict(OUTCOMES)


@register.filter
def verb_title(verb: str) -> Any:
    """Return the title of a verb; events can have verbs that no longer exist."""
    try:
        return get_verb(verb).title
    except KeyError:
        return verb


@register.filter
def operation_title(operation: Operation) -> str:
    """Return "OP-8 (Unbind quarantine)"."""
    change = f"{verb_title(operation.verb)} {operation.policy_name}".rstrip()
    return f"{operation} ({change})"


@register.filter
def outcome_words(outcome: str) -> str:
    """Return "Failed" for "failed", and "2 done, 1 failed" for "2 ok, 1 failed"."""
    pieces = [piece.rpartition(" ") for piece in outcome.split(", ")]
    words = [
        (number, str(OUTCOME_LABELS.get(state, state)))
        for number, _space, state in pieces
    ]
    return ", ".join(
        f"{number} {word.lower()}" if number else word for number, word in words
    )


@register.simple_tag
def code_meaning(code: str) -> Any:
    return explain_code(code).meaning if code else ""


@register.simple_tag
def error_code(code: str) -> Any:
    """Return a code of IoTDA as it is, for looking it up, and one of ours in words."""
    return (
        format_html("<code>{}</code>", code)
        if is_platform_code(code)
        else code_meaning(code)
    )


@register.simple_tag
def operation_words(operation: Operation) -> TargetWords:
    return target_words(operation, target_counts(operation))


@register.simple_tag(takes_context=True)
def may_check(context: template.Context, operation: Operation) -> bool:
    return views.can_check_operation(context["user"], operation)


@register.simple_tag(takes_context=True)
def may_see(context: template.Context, operation: Operation) -> bool:
    """Return whether all targets and the policy are in the user's resource spaces."""
    return permissions.covers_operation(context["user"], operation)


@register.simple_tag(takes_context=True)
def offers(context: template.Context, operation: Operation) -> dict[str, Any]:
    """Return the follow-ups that the user can start."""
    return followup_views.available_follow_ups(
        context["user"], operation, context["counts"], context["failures"]
    )


@register.simple_tag(takes_context=True)
def ticket_text(context: template.Context, operation: Operation) -> str:
    url = context["request"].build_absolute_uri(operation.get_absolute_url())
    return render_ticket_text(operation, context["counts"], context["causes"], url)
