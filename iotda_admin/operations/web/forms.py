"""The fields of every form that changes IoTDA: reason, ticket and idempotency key."""

import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

from django import forms
from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import ValidationError
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from iotda_admin.access.kept_forms import KEPT_KEY
from iotda_admin.core.forms import LineField
from iotda_admin.core.id_columns import Column, ColumnNeeded
from iotda_admin.core.id_import import (
    file_as_text,
    list_as_text,
    read_id_file,
    read_id_text,
)
from iotda_admin.core.ids import (
    IdList,
    InvalidId,
    Lookup,
    Match,
    TooManyIds,
    collect_ids,
    is_id,
    resolve_ids,
)
from iotda_admin.core.text_files import UnreadableFile
from iotda_admin.core.tickets import TicketField
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.verbs import OtherSpace, Verb

if TYPE_CHECKING:
    from iotda_admin.operations.followups.plan import FollowUpPlan

ROUNDED_NUMBER = re.compile(r"[0-9][.,0-9]*E[+-]?[0-9]+", re.IGNORECASE)
# Characters of a file that the page keeps until a column is chosen.
TEXT_KEPT = 2_000_000
# The fields in which a form names its targets; all but the selected ones are read.
READ = ("pasted", "upload")
IDS = ("target", *READ)
NOT_COMPLETE = gettext_lazy("This form was not complete. Open it again.")


def new_key() -> str:
    return uuid.uuid4().hex


def type_exactly(text: str) -> ValidationError:
    message = _("Type the name exactly as it is shown: %(name)s")
    return ValidationError(message, params={"name": text})


class ChangeForm(forms.Form):
    reason = LineField(
        label=gettext_lazy("Reason"),
        max_length=500,
        error_messages={
            "required": gettext_lazy("Say why: the reason is kept in the audit trail.")
        },
    )
    ticket = TicketField(label=gettext_lazy("Ticket"))
    key = forms.RegexField(
        r"\A[0-9a-f]{32}\Z",
        widget=forms.HiddenInput,
        initial=new_key,
        error_messages={"required": NOT_COMPLETE, "invalid": NOT_COMPLETE},
    )

    typed = forms.CharField(required=False, max_length=256, strip=False)
    other_space = forms.BooleanField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["ticket"].required = settings.TICKET_REQUIRED

    def confirm_other_space(self, elsewhere: Sequence[OtherSpace]) -> None:
        """Require that targets outside the policy's resource space are confirmed."""
        if elsewhere and not self.cleaned_data.get("other_space"):
            message = _(
                "Targets are in another resource space than the policy. Remove them, or"
                " confirm that they are sent."
            )
            self.add_error("other_space", message)

    def confirms(self, expected: str) -> bool:
        """Return whether a valid form has the text that had to be typed, if any."""
        if expected and self.cleaned_data["typed"] != expected:
            self.add_error("typed", type_exactly(expected))
        return self.is_valid()

    @property
    def current_key(self) -> str:
        """Return the key to render: the one that was sent, so that a repeat keeps it."""
        return str(self["key"].value() or self.data.get(KEPT_KEY) or new_key())

    @property
    def is_filled_in(self) -> bool:
        """Return whether it is a kept form that is filled in again, and not sent."""
        return KEPT_KEY in self.data

    def lenient(self) -> Self:
        """Validate for a preview: fields that are still empty are no errors yet."""
        for name in set(self.errors) - set(READ):
            del self.errors[name]
        return self

    def request_for(
        self, verb: Verb, ids: Iterable[str], target_type: str, **about: Any
    ) -> OperationRequest:
        """Return what this valid form requests for these targets."""
        said = {name: self.cleaned_data[name] for name in ("reason", "ticket", "key")}
        targets = [TargetSpec(id) for id in ids]
        return OperationRequest(
            verb.name, targets, target_type=target_type, **said, **about
        )


class IdsField(forms.Field):
    """IDs as repeated values of one name, such as selected rows."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[str]:
        # They have no line.
        return valid_or_error(collect_ids((0, id) for id in value or []))


class ReadIdsField(forms.Field):
    """IDs from a text; errors name each invalid one with its line."""

    # The type of the targets: a column of a table may be named after it.
    kind = "device"
    # The column that the user chose, and the question for it.
    column: Column | None = None
    column_needed: ColumnNeeded | None = None
    # What finds targets by other values, and what it found; None: IDs only.
    lookup: Lookup | None = None
    found: IdList | None = None

    def read_ids(self, read: Callable[..., IdList], source: Any) -> list[str]:
        about = {"kind": self.kind, "column": self.column}
        try:
            found = read(source, limit=settings.TARGETS_LIMIT, **about)
            if self.lookup:
                resolve_ids(found, self.lookup)
        except TooManyIds:
            message = _(
                "These are more than %(limit)s IDs. Use several operations for more."
            )
            limit = {"limit": intcomma(settings.TARGETS_LIMIT)}
            raise ValidationError(message, "too_many", limit) from None
        except UnreadableFile as error:
            self.column_needed = error if isinstance(error, ColumnNeeded) else None
            raise ValidationError(str(error)) from error
        self.found = found
        return valid_or_error(found)


class PastedIdsField(ReadIdsField):
    widget = forms.Textarea

    def to_python(self, value: Any) -> list[str]:
        return self.read_ids(read_id_text, value or "")


class UploadedIdsField(ReadIdsField, forms.FileField):
    # The content of a file that waits for a column: browsers do not keep the file.
    text = ""

    def to_python(self, data: Any) -> list[str]:  # type: ignore[override]
        upload = forms.FileField.to_python(self, data)
        try:
            return self.read_ids(read_id_file, upload.file) if upload else []
        except ValidationError:
            if upload and upload.file and self.column_needed:
                self.text = file_as_text(upload.file, TEXT_KEPT)
            raise


def valid_or_error(found: IdList) -> list[str]:
    if found.wrong or found.ambiguous:
        raise ValidationError(describe_invalid_ids(found))
    return found.ids


def describe_invalid_ids(found: IdList) -> list[str]:
    """Describe the first invalid IDs, and count the others."""
    said = [describe_invalid_id(problem, found) for problem in found.problems]
    if (more := found.wrong - len(said)) > 0:
        said.append(
            ngettext("%(n)d more like it.", "%(n)d more like these.", more)
            % {"n": more}
        )
    return said + [describe_ambiguous(match) for match in found.ambiguous]


def describe_ambiguous(match: Match) -> str:
    """Name the targets that a value may mean."""
    message = _(
        "“%(value)s” is the %(by)s of %(count)d devices: %(candidates)s. Give the ID of"
        " the one you mean."
    )
    more = ["…"] if match.count > len(match.candidates) else []
    candidates = [
        f"{id} ({', '.join(filter(None, about))})" for id, *about in match.candidates
    ]
    facts = {"value": match.value, "by": match.by, "count": match.count}
    return message % {**facts, "candidates": "; ".join([*candidates, *more])}


def describe_invalid_id(problem: InvalidId, found: IdList) -> str:
    value, column = Truncator(readable(problem.value)).chars(61), found.column
    facts = {"line": problem.line, "value": value, "column": readable(column)[:60]}
    if problem.line and column:
        where = _("Line %(line)d, column “%(column)s”: “%(value)s” is not an ID.")
    elif problem.line:
        where = _("Line %(line)d: “%(value)s” is not an ID.")
    else:
        where = _("“%(value)s” is not an ID.")
    return f"{where % facts} {why_not_an_id(problem.value, found.looked_up)}"


def readable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def why_not_an_id(value: str, looked_up: bool) -> str:
    if ROUNDED_NUMBER.fullmatch(value):
        return _(
            "A spreadsheet rounded it: format the column as text and enter it again."
        )
    alike = next((c for c in value if not c.isascii() and c.isalpha()), "")
    if alike and any(c.isascii() and c.isalnum() for c in value):
        # It may look like the letter that belongs there.
        message = _("No ID has “%(letter)s” (%(name)s).")
        facts = {
            "letter": alike,
            "name": unicodedata.name(alike, f"U+{ord(alike):04X}"),
        }
        return message % facts
    if looked_up:
        return _(
            "IDs have 1 to 128 letters, digits, _ or -, and no device in the inventory"
            " has this node ID or name."
        )
    return _("IDs have 1 to 128 letters, digits, _ or -.")


class TargetsForm(ChangeForm):
    """Requests a change of targets that were selected, pasted or uploaded."""

    target = IdsField(required=False)
    pasted = PastedIdsField(label=gettext_lazy("Paste IDs"), required=False)
    upload = UploadedIdsField(
        label=gettext_lazy("Upload a file of IDs"), required=False
    )

    # The number of the column, where a table leaves it open, and whether its first row
    # is a heading.
    column = forms.RegexField(r"\A[0-9]{1,5}\Z", required=False)
    heading = forms.BooleanField(required=False)

    def __init__(self, *args: Any, lookup: Lookup | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if isinstance(field, ReadIdsField):
                field.lookup = lookup
        if number := str(self["column"].value() or ""):
            column = Column(number, heading=bool(self["heading"].value()))
            for field in self.fields.values():
                if isinstance(field, ReadIdsField):
                    field.column = column

    @property
    def column_needed(self) -> ColumnNeeded | None:
        """Return the question for the column of IDs, if a table leaves it open."""
        if not self.is_bound or self.is_valid():
            return None
        needed = (getattr(self.fields[name], "column_needed", None) for name in READ)
        return next(filter(None, needed), None)

    def targets(self) -> list[str]:
        """Return the selected, then the pasted, then the uploaded IDs, each once."""
        selected = self.cleaned_data.get("target", [])
        return list(dict.fromkeys([*selected, *self.read_ids()]))

    def read_ids(self) -> list[str]:
        self.is_valid()  # it is what reads them
        read = getattr(self, "cleaned_data", {})
        return [*read.get("pasted", []), *read.get("upload", [])]

    @property
    def duplicates(self) -> int:
        """Return how many pasted or uploaded IDs are duplicates."""
        read = self.read_ids()
        within = sum(found.duplicates for found in self.lists_read())
        return within + len(read) - len(set(read))

    @property
    def resolved(self) -> dict[str, Match]:
        """Return how devices were found that are not named by their IDs."""
        self.is_valid()
        found = (each.resolved.items() for each in self.lists_read())
        return dict(chain.from_iterable(found))

    def lists_read(self) -> list[IdList]:
        found = (getattr(self.fields[name], "found", None) for name in READ)
        return [each for each in found if each]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not set(IDS) & set(self.errors) and not self.targets():
            raise ValidationError({"target": _("Choose at least one target.")})
        if any(each.resolved for each in self.lists_read()):
            message = _(
                "Some were found by node ID or name. Check the list, then send again."
            )
            self.add_error(None, message)
        return cleaned

    @property
    def unreadable(self) -> bool:
        """Return whether some pasted or uploaded text is rejected."""
        return any(name in self.errors for name in READ)

    @property
    def status(self) -> int:
        """Return the HTTP status of the response to an invalid form."""
        return 413 if any(self.has_error(name, "too_many") for name in READ) else 422

    @property
    def text(self) -> str:
        """Return the text of the paste field.

        Uploaded IDs go there, as browsers keep no file, and those of a chosen column or
        of devices that were found by another value.
        """
        read_again = self.is_bound and not self.unreadable
        chosen = self["upload"].data or self["column"].data
        if read_again and (chosen or self.resolved):
            return list_as_text(list(dict.fromkeys(self.read_ids())))
        pasted = str(self["pasted"].value() or "")
        return pasted or getattr(self.fields["upload"], "text", "")


def valid_ids(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if is_id(value)]


class FollowUpForm(ChangeForm):
    """Requests some of the groups that a plan offers."""

    group = forms.MultipleChoiceField(
        error_messages={
            "required": gettext_lazy("Choose at least one."),
            "invalid_choice": gettext_lazy(
                "What can be chosen has changed. Choose again."
            ),
        }
    )
    seen = forms.CharField(required=False)

    def __init__(self, *args: Any, plan: "FollowUpPlan", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plan = plan
        self.initial = {name: getattr(plan.of, name) for name in plan.prefilled}
        group = self.fields["group"]
        group.choices = [(each.key, each.key) for each in plan.possible]  # type: ignore[attr-defined]
        group.initial = plan.preselected

    def clean_group(self) -> list[str]:
        chosen: list[str] = self.cleaned_data["group"]
        plan = self.plan
        if plan.verb.one_at_a_time(plan.of) and len(plan.chosen(chosen)) > 1:
            raise ValidationError(_("One resource space at a time."))
        return chosen

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.confirm_other_space(self.plan.elsewhere(cleaned.get("group", [])))
        return cleaned

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self.plan.confirmation:
            raise type_exactly(self.plan.confirmation)
        return typed
