"""The filters of the list of operations, as in the URL of the page and of its CSV file."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.scope import AnyUser
from iotda_admin.core.forms import CodeFilter, IdFilter, LineField, OperationField
from iotda_admin.core.search import equals
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.open_failures import (
    HAS_FAILURES,
    in_states,
    with_failures,
    with_open_failures,
)
from iotda_admin.operations.permissions import visible_operations
from iotda_admin.operations.search import with_ticket
from iotda_admin.operations.verbs import all_verbs

HAS_SUCCESSES = Exists(
    Target.objects.filter(operation=OuterRef("pk"), state__in=Target.DONE).order_by()
)


class StateFilter(NamedTuple):
    """A tab of the list: its label, and how it narrows the operations."""

    label: str | Promise
    narrow: Callable[[QuerySet[Operation]], QuerySet[Operation]]


def in_state(state: Operation.State) -> StateFilter:
    return StateFilter(state.label, lambda rows: rows.filter(state=state))


def ended_with(label: str | Promise, outcome: Q) -> StateFilter:
    """Return the tab of operations that were sent as a whole and have this outcome."""
    return StateFilter(
        label, lambda rows: rows.filter(outcome, state=Operation.State.DONE)
    )


STATE_FILTERS = {
    "running": in_state(Operation.State.RUNNING),
    "paused": in_state(Operation.State.PAUSED),
    # Operations with failures have tabs of their own.
    "done": ended_with(Operation.State.DONE.label, ~Q(HAS_FAILURES)),
    "partly-failed": ended_with(_("Partly failed"), Q(HAS_FAILURES) & Q(HAS_SUCCESSES)),
    "failed": ended_with(_("Failed"), Q(HAS_FAILURES) & ~Q(HAS_SUCCESSES)),
    "open-failures": StateFilter(_("With open failures"), with_open_failures),
    "failures": StateFilter(_("With failures (all)"), with_failures),
    "stopped": in_state(Operation.State.STOPPED),
    "cancelled": in_state(Operation.State.CANCELLED),
}


def verb_choices() -> list[tuple[str, Any]]:
    verbs = sorted((str(verb.title), verb.name) for verb in all_verbs())
    return [("", _("Any change")), *((name, title) for title, name in verbs)]


class DayField(forms.DateField):
    default_error_messages = {"invalid": _("Write a day like 2026-01-31.")}

    def __init__(self, **options: Any) -> None:
        super().__init__(input_formats=["%Y-%m-%d"], **options)

    def to_python(self, value: Any) -> date | None:
        day = super().to_python(value)
        # The first and the last year can overflow in a time zone.
        if day and not 1970 <= day.year < 9000:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return day


class OperationFilterForm(forms.Form):
    """One field for each filter. While one is invalid, nothing is found."""

    number = OperationField(label=_("Operation"))
    actor = LineField(label=_("Person"), max_length=150)
    verb = forms.ChoiceField(label=_("Change"), choices=verb_choices)
    policy = IdFilter(label=_("Policy"), max_length=128)
    ticket = LineField(label=_("Ticket"), max_length=64)
    target = IdFilter(label=_("Target ID"), max_length=128)
    code = CodeFilter(label=_("Error code"), max_length=64)
    since = DayField(label=_("From"))
    until = DayField(label=_("To"))

    def __init__(self, data: QueryDict, user: AnyUser) -> None:
        super().__init__(data)
        self.user = user
        for field in self.fields.values():
            field.required = False
        state = data.get("state", "")
        self.state = state if state in STATE_FILTERS else ""
        self.mine = "mine" in data

    @property
    def active(self) -> dict[str, Any]:
        """The values of the filters that are set."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def chips(self) -> list[tuple[str, Any, str]]:
        """Return name, label and displayed value of each filter that is set."""
        return [
            (name, self.fields[name].label, self.displayed(name))
            for name in self.active
        ]

    @property
    def described(self) -> dict[str, str]:
        """The filters by name, for the audit trail."""
        found = {name: str(value) for name, value in self.active.items()}
        if self.state:
            found["state"] = self.state
        if self.mine:
            found["mine"] = "1"
        return found

    def displayed(self, name: str) -> str:
        value, field = self.cleaned_data[name], self.fields[name]
        if isinstance(field, OperationField):
            return f"OP-{value}"
        return str(dict(getattr(field, "choices", ())).get(value, value))

    def operations(self) -> QuerySet[Operation]:
        """Return the operations of the filters that the user may see."""
        rows = visible_operations(self.user)
        if not self.is_valid():
            return rows.none()
        if self.mine:
            rows = rows.filter(actor=self.user.pk)
        if self.state:
            rows = STATE_FILTERS[self.state].narrow(rows)
        for name, value in self.active.items():
            rows = rows.filter(CONDITIONS[name](value))
        return rows


def with_target(target_id: str) -> Q:
    found = Target.objects.filter(target_id=target_id).order_by()
    return Q(pk__in=found.values("operation"))


def with_failure_code(code: str) -> Q:
    """Return a condition that the index `target_failure_code` answers."""
    failures = Target.objects.filter(
        in_states(*Target.FAILURES, alias="U0"), error_code=code
    )
    return Q(pk__in=failures.order_by().values("operation"))


def start_of(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


CONDITIONS: dict[str, Callable[[Any], Q]] = {
    "number": lambda number: Q(pk=number),
    "actor": lambda name: equals(name, "actor_name"),
    "verb": lambda name: Q(verb=name),
    "policy": lambda text: equals(text, "policy_id", "policy_name"),
    "ticket": with_ticket,
    "target": with_target,
    "code": with_failure_code,
    "since": lambda day: Q(created_at__gte=start_of(day)),
    "until": lambda day: Q(created_at__lt=start_of(day + timedelta(days=1))),
}
