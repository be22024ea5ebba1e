"""The selected devices before they are changed: three lists, and which are sent."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import Http404, StreamingHttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from devices.models import Device
from devices.targets import DIRECT, known_devices
from devices.verbs import DeviceVerb
from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.bulk_sql import among
from iotda_admin.core.id_import import list_as_text
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.web.target_lists import LISTED, TargetList, changed_now

WILL_CHANGE = ngettext_lazy("%(shown)s will change", "%(shown)s will change", "n")
UNKNOWN = ngettext_lazy(
    "%(shown)s is not in the inventory: IoTDA decides",
    "%(shown)s are not in the inventory: IoTDA decides",
    "n",
)
LEFT_OUT = ngettext_lazy(
    "%(shown)s is left out: it cannot change",
    "%(shown)s are left out: they cannot change",
    "n",
)


@dataclass(frozen=True, slots=True)
class DeviceSelection:
    """The chosen devices: those to be sent, and those that cannot change, with reasons.

    Unknown devices are sent too: IoTDA may know them. So are those that already are as
    requested by the last sync. The unknown devices of a user who may not act in every
    space count as outside the user's spaces.
    """

    verb: DeviceVerb
    user: AnyUser
    changing: Sequence[str]
    cannot: Mapping[str, str]
    already: Set[str]
    unknown: Set[str]
    online: int

    @property
    def many(self) -> bool:
        """Return whether they are more than a page shows; the form sends one text then."""
        return len(self.changing) > LISTED

    @property
    def text(self) -> str:
        return list_as_text(self.changing)

    @property
    def sent(self) -> list[TargetList]:
        """Return the lists of the devices that the form sends, except empty ones."""
        apart = self.already | self.unknown
        lists = [
            self.named("change", WILL_CHANGE, set(self.changing) - apart),
            self.named("already", self.verb.already_many, self.already),
            self.named("unknown", UNKNOWN, self.unknown),
        ]
        return [each for each in lists if each.ids]

    @property
    def left_out(self) -> TargetList:
        return self.named("cannot", LEFT_OUT, self.cannot.keys())

    def named(self, name: str, title: Any, ids: Set[str]) -> TargetList:
        shown = {"n": len(ids), "shown": intcomma(len(ids))}
        among = self.cannot if name == "cannot" else self.changing
        chosen = [id for id in among if id in ids]
        rows = in_scope(Device.objects.all(), self.user)
        return TargetList(name, str(title % shown), chosen, rows, self.cannot)

    def csv(self, name: str) -> StreamingHttpResponse:
        """Return one of the lists as CSV. Raise Http404 if there is no such list."""
        for each in [*self.sent, self.left_out]:
            if each.name == name:
                return each.csv()
        raise Http404


def select_devices(
    verb: DeviceVerb, request: OperationRequest, user: AnyUser, outside: Iterable[str]
) -> DeviceSelection:
    """Sort the devices of a request. ``outside`` are those not in the user's spaces."""
    known = in_scope(known_devices(request.ids).order_by(), user)
    cannot = dict.fromkeys(outside, _("not in your resource spaces"))
    seen = set(known.values_list("pk", flat=True))
    if verb.direct_only:
        behind = known.exclude(DIRECT).values_list("pk", flat=True)
        cannot |= dict.fromkeys(behind, _("behind a gateway"))
        known = known.filter(DIRECT)
    busy = changed_now(request)
    cannot |= {id: why for id, why in busy.items() if id not in cannot}
    changing = [id for id in request.ids if id not in cannot]
    already = set(verb.already_rows(known).values_list("pk", flat=True))
    online = known.filter(status=Device.Status.ONLINE)
    if busy:
        online = online.exclude(among("pk", busy))
    return DeviceSelection(
        verb,
        user,
        changing,
        cannot,
        already - cannot.keys(),
        set(changing) - seen,
        online.count(),
    )
