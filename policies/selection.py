"""The targets of a policy change before it is sent, sorted into named lists."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Count, Q, QuerySet
from django.http import Http404, StreamingHttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.bulk_sql import among, values_of_rows
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web.target_lists import TargetList, changed_now
from policies.models import POLICIES_PER_TARGET, Binding, TargetType
from policies.targets import MODELS, bindings_of, known_targets
from policies.verbs import PolicyVerb

TITLES = {
    "change": ngettext_lazy("%(shown)s will change", "%(shown)s will change", "n"),
    "bound": ngettext_lazy(
        "%(shown)s with this policy already", "%(shown)s with this policy already", "n"
    ),
    "unbound": ngettext_lazy(
        "%(shown)s without this policy already",
        "%(shown)s without this policy already",
        "n",
    ),
    "unknown": ngettext_lazy(
        "%(shown)s not in the inventory: IoTDA decides",
        "%(shown)s not in the inventory: IoTDA decides",
        "n",
    ),
    "cannot": ngettext_lazy("%(shown)s cannot change", "%(shown)s cannot change", "n"),
}


@dataclass(frozen=True, slots=True)
class TargetSelection:
    """The chosen targets: what each will be, and why some cannot change."""

    request: OperationRequest
    user: AnyUser
    already: Set[str]
    unknown: Set[str]
    cannot: Mapping[str, str]

    @property
    def total(self) -> int:
        return len(self.request.ids)

    def dropped_by(self, button: str) -> Set[str]:
        """Return the targets that a button leaves out, such as ``leave_out:cannot``."""
        lists = {
            "leave_out:cannot": self.cannot.keys(),
            "leave_out:unknown": self.unknown,
        }
        return lists.get(button, frozenset())

    @property
    def unclear(self) -> bool:
        return bool(self.cannot or self.unknown)

    @property
    def digest(self) -> str:
        """Tell from other targets those that the page has shown."""
        about = (self.request.target_type, self.request.policy_id, *self.request.ids)
        return sha256("\n".join(about).encode()).hexdigest()

    @property
    def lists(self) -> list[TargetList]:
        """Return the lists that are not empty."""
        apart = self.already | self.unknown | self.cannot.keys()
        verb = policy_verb(self.request)
        lists = [
            self.named("change", TITLES["change"], set(self.request.ids) - apart),
            self.named(
                "already", TITLES["bound" if verb.bound else "unbound"], self.already
            ),
            self.named("unknown", TITLES["unknown"], self.unknown),
            self.named("cannot", TITLES["cannot"], self.cannot.keys()),
        ]
        return [each for each in lists if each.ids]

    def named(self, name: str, title: str | Promise, ids: Set[str]) -> TargetList:
        model = MODELS[TargetType(self.request.target_type)]
        rows = in_scope(model._default_manager.all(), self.user)
        shown = {"n": len(ids), "shown": intcomma(len(ids))}
        chosen = [id for id in self.request.ids if id in ids]
        return TargetList(name, str(title % shown), chosen, rows, self.cannot)

    def csv(self, name: str) -> StreamingHttpResponse:
        """Return one of the lists as CSV. Raise Http404 if there is no such list."""
        for each in self.lists:
            if each.name == name:
                return each.csv()
        raise Http404


def select_targets(
    request: OperationRequest, user: AnyUser, outside: Iterable[str]
) -> TargetSelection:
    """Sort the targets of a request. ``outside`` are those not in the user's spaces."""
    verb = policy_verb(request)
    rows = in_scope(known_targets(request.target_type, request.ids), user)
    known = {pk for (pk,) in values_of_rows(rows.order_by(), ["pk"])}
    cannot = dict.fromkeys(
        set(outside) & set(request.ids), _("not in your resource spaces")
    )
    # Do not reveal the bindings of targets outside the user's spaces.
    seen = [id for id in request.ids if id not in cannot]
    bound = set(bindings_of(request, seen).values_list("target_id", flat=True))
    if verb.bound:
        full = full_targets(request, seen)
        cannot |= dict.fromkeys(full, _("has its five policies already"))
    busy = changed_now(request) if request.policy_id else {}
    cannot |= {id: why for id, why in busy.items() if id not in cannot}
    already = bound if verb.bound else known - bound
    return TargetSelection(
        request,
        user,
        (already & known) - cannot.keys(),
        set(request.ids) - known - cannot.keys(),
        cannot,
    )


def full_targets(request: OperationRequest, ids: Sequence[str]) -> list[str]:
    """Return the targets with other policies, as many as IoTDA allows."""
    counts = policy_counts(request.target_type, request.policy_id, ids)
    full = counts.filter(own=0, policies__gte=POLICIES_PER_TARGET)
    return [id for id, _policies, _own in full]


def policy_counts(
    target_type: str, policy_id: str, ids: Sequence[str]
) -> QuerySet[Any, Any]:
    """Return the number of policies of each target, and whether this is one of them."""
    bindings = Binding.objects.filter(among("target_id", ids), target_type=target_type)
    own = Count("pk", filter=Q(policy=policy_id))
    by_target = bindings.order_by().values_list("target_id")
    return by_target.annotate(policies=Count("pk"), own=own)


def policy_verb(request: OperationRequest) -> PolicyVerb:
    verb = get_verb(request.verb)
    assert isinstance(verb, PolicyVerb)
    return verb
