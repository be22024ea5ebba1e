"""An operation in plain text, to be pasted into a ticket."""

from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from iotda_admin.core.free_text import printable_line
from iotda_admin.operations.causes import Cause
from iotda_admin.operations.counts import Counts
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.resolutions import (
    failure_summary,
    outcome_badge,
    outcome_label,
)
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web.headline import target_words

IDS_SHOWN = 10


def render_ticket_text(
    operation: Operation, counts: Counts, causes: Sequence[Cause], url: str
) -> str:
    verb = f"{get_verb(operation.verb).title} {operation.policy_name}".rstrip()
    targets = describe_all_targets(operation, counts)
    policy = name_with_id(operation.policy_name, operation.policy_id)
    failures = failure_summary(operation.targets.all())
    outcome = outcome_label(outcome_badge(operation, counts, failures), operation)
    role = operation.role and f" ({operation.role})"
    header = [
        f"{operation}: {verb}, {targets} · {outcome}",
        _("Asked by %(who)s on %(when)s UTC")
        % {
            "who": operation.actor_name + role,
            "when": f"{operation.created_at:%Y-%m-%d %H:%M:%S}",
        },
        _("Reason: %(reason)s") % {"reason": operation.reason},
        operation.ticket and _("Ticket: %(ticket)s") % {"ticket": operation.ticket},
        policy and _("Policy: %(policy)s") % {"policy": policy},
        ", ".join(
            f"{state.label}: {counts[state]}"
            for state in Target.State
            if counts.get(state)
        ),
        _("Failures: %(counts)s") % {"counts": failures} if failures.resolved else "",
    ]
    lines = [line for cause in causes for line in ["", *describe_cause(cause)]]
    # Names and messages come from IoTDA: a line break in one would forge a line.
    texts = map(printable_line, [*filter(None, header), *lines, "", url])
    return "\n".join(texts)


def describe_cause(cause: Cause) -> list[str]:
    code = f" [{cause.code}]" if cause.platform_code else ""
    lines = [
        f"{Target.State(cause.state).label} {cause.count}: {cause.help.meaning}{code}"
    ]
    lines += [f"  “{message}”" for message in cause.messages]
    lines += [
        f"  {name_with_id(target.name, target.target_id)}"
        for target in cause.targets[:IDS_SHOWN]
    ]
    if (more := cause.count - IDS_SHOWN) > 0:
        lines.append(
            "  " + ngettext("and %(n)d more", "and %(n)d more", more) % {"n": more}
        )
    if requests := cause.request_ids:
        lines.append("  " + _("Request ID: %(ids)s") % {"ids": ", ".join(requests)})
    return lines


def describe_all_targets(operation: Operation, counts: Counts) -> str:
    """Return the words of the headline; a single target comes with its ID."""
    words = target_words(operation, counts)
    if words.name:
        target = operation.targets.get()
        words = words._replace(name=name_with_id(target.name, target.target_id))
    return str(words)


def name_with_id(name: str, id: str) -> str:
    return f"{name} ({id})" if name and name != id else id
