"""Syncs policies and their bindings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from itertools import batched, chain, islice
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from iotda_admin.core.database import write_if_free
from iotda_admin.core.ids import is_id
from iotda_admin.inventory.drift import Drift
from iotda_admin.inventory.listings import batched_listing, batched_listings
from iotda_admin.inventory.mirror import Change, Key, Mirror
from iotda_admin.iotda import (
    FIRST_PAGE,
    PAGE_LIMIT,
    BadResponse,
    Client,
    DevicePolicy,
    FetchPage,
    IotdaError,
    ListingPage,
    PageQuery,
    PolicyTarget,
    walk,
)
from iotda_admin.rate.retries import retrying
from policies.models import Binding, Policy, binding_subject
from policies.targets import names_of_targets

# Up to here, what a policy is bound to is read again before a change of it: at most four calls.
REREAD_LIMIT = 4 * PAGE_LIMIT


class Policies(Mirror):
    order = 4
    model = Policy
    title = _("Policies")
    key = ["policy_id"]
    fields = ["name", "app_id", "statements", "create_time", "update_time"]

    def pages(self, client: Client) -> Iterator[list[Any]]:
        # The list leaves the statements out, so each policy is read by itself: there are at most 50.
        listing = client.list_device_policies
        for page in batched_listing(listing, attrgetter("policy_id")):
            found, unread = self.read(client, [listed_row(*each) for each in page])
            if unread and not found:
                raise next(iter(unread.values()))
            yield found

    def find(self, client: Client, rows: Sequence[Policy]) -> list[Model]:
        # IoTDA cannot be asked for the others: there the list decides.
        asked = [row for row in rows if is_id(row.policy_id)]
        found, unread = self.read(client, asked)
        return [*found, *(row for row in asked if row.policy_id in unread)]

    def read(
        self, client: Client, rows: Sequence[Policy]
    ) -> tuple[list[Policy], dict[str, BadResponse]]:
        """Read policies by themselves; leave out those that do not exist.

        One that IoTDA cannot be asked for stays as it is. Also return the errors of
        those whose answer cannot be used, by ID.
        """
        with ThreadPoolExecutor(settings.INVENTORY_IN_FLIGHT) as pool:
            answers = list(pool.map(partial(self.read_one, client), rows))
        unread = {
            row.policy_id: answer
            for row, answer in zip(rows, answers, strict=True)
            if isinstance(answer, BadResponse)
        }
        return [each for each in answers if isinstance(each, Policy)], unread

    def read_one(self, client: Client, row: Policy) -> Policy | BadResponse | None:
        if not is_id(row.policy_id):
            return row
        read_at = timezone.now()
        try:
            with unless_gone():
                show = retrying(client.show_device_policy)
                return policy_row(show(row.policy_id), read_at)
        except BadResponse as error:
            self.skip(str(error), row.policy_id)
            return error
        return None


class Bindings(Mirror):
    order = 5
    model = Binding
    title = _("Policy bindings")
    key = ["policy_id", "target_type", "target_id"]
    fields = []
    compared = []

    def pages(
        self, client: Client, policy_ids: Iterable[str] | None = None
    ) -> Iterator[list[Any]]:
        """Yield the bindings of these policies, or of all."""
        if policy_ids is None:
            policy_ids = list(Policy.objects.values_list("pk", flat=True))
        for some in batched(filter(is_id, policy_ids), settings.INVENTORY_IN_FLIGHT):
            yield from self.pages_of(client, some)

    def pages_of(
        self, client: Client, policy_ids: Iterable[str]
    ) -> Iterator[list[Any]]:
        """Yield the bindings of policies; new ones only if they are listed twice.

        The answers do not name the policy, so one may be about another.
        """
        new = set[Key]()
        for policy_id, rows in self.listed(client, policy_ids):
            stored = self.stored_keys(policy_id, rows)
            new |= rows.keys() - stored
            yield [row for key, row in rows.items() if key in stored]
        again = {policy_id for policy_id, *_target in new}
        for _policy, rows in self.listed(client, again):
            yield [row for key, row in rows.items() if key in new]

    def listed(
        self, client: Client, policy_ids: Iterable[str]
    ) -> Iterator[tuple[str, dict[Key, Any]]]:
        targets = {id: partial(targets_page, client, id) for id in policy_ids}
        key = attrgetter("target_type", "target_id")
        for policy_id, page in batched_listings(targets, key):
            rows = [binding_row(policy_id, *each) for each in page]
            yield policy_id, {self.key_of(row): row for row in rows}

    def stored_keys(self, policy_id: str, keys: Iterable[Key]) -> set[Key]:
        ids = [target_id for _policy, _type, target_id in keys]
        found = Binding.objects.filter(policy=policy_id, target_id__in=ids)
        return set(found.values_list(*self.key))

    def drifts(self, changes: Sequence[Change]) -> list[Drift]:
        rows = [after or before for after, before in changes]
        policies = Policy.objects.in_bulk({row.policy_id for row in rows})
        names = names_of_targets(rows)
        drifts = []
        for (after, _before), row in zip(changes, rows, strict=True):
            target = (row.target_type, row.target_id)
            if not after and target not in names:
                # The target itself is gone, and IoTDA removed its bindings with it.
                continue
            name, space = names.get(target, ("", ""))
            policy = policies.get(row.policy_id)
            drifts.append(
                Drift(
                    "bound" if after else "unbound",
                    binding_subject(row.policy_id, row.target_type, row.target_id),
                    row.target_type,
                    row.target_id,
                    name,
                    space,
                    row.policy_id,
                    policy.name if policy else "",
                )
            )
        return drifts

    def find(self, client: Client, rows: Sequence[Binding]) -> list[Any]:
        """List the targets of their policies again: IoTDA cannot be asked for one."""
        wanted = {self.key_of(row) for row in rows}
        policy_ids = dict.fromkeys(row.policy_id for row in rows)
        listed = chain.from_iterable(self.pages(client, policy_ids))
        return [row for row in listed if self.key_of(row) in wanted]


def targets_page(
    client: Client, policy_id: str, query: PageQuery
) -> ListingPage[PolicyTarget]:
    """Return a page of a policy's targets; none if it was deleted meanwhile."""
    with unless_gone():
        return client.show_targets_in_device_policy(policy_id, query)
    return ListingPage((), 0, "")


@contextmanager
def unless_gone() -> Iterator[None]:
    """Suppress the error of a policy that IoTDA does not have."""
    try:
        yield
    except IotdaError as error:
        if not error.not_found:
            raise


def listed_row(policy: DevicePolicy, read_at: datetime) -> Policy:
    row = policy_row(policy, read_at)
    row.statements = None
    return row


def policy_row(policy: DevicePolicy, read_at: datetime) -> Policy:
    """Return the unsaved row of a policy that was requested at this time."""
    return Policy(
        policy_id=policy.policy_id,
        name=policy.policy_name,
        app_id=policy.app_id,
        statements=[rule.to_json() for rule in policy.statement],
        create_time=policy.create_time,
        update_time=policy.update_time,
        read_at=read_at,
    )


def binding_row(policy_id: str, target: PolicyTarget, read_at: datetime) -> Any:
    return Bindings.row(policy_id, target.target_type, target.target_id, read_at)


def read_policy(client: Client, policy_id: str) -> Policy:
    """Read a policy, store it unless the database is busy; return its row."""
    read_at = timezone.now()
    row = policy_row(client.show_device_policy(policy_id), read_at)
    write_if_free(partial(Policies().store, [row]))
    return row


def refresh_bindings(client: Client, policy_id: str) -> None:
    """Read a policy and its targets again before it is changed, both at once.

    If that fails, the inventory stays as it is: the change itself will meet the same error
    and report it.
    """
    bindings, started = Binding.objects.filter(policy=policy_id), timezone.now()
    keys = bindings.order_by().values_list("pk", *Bindings.key)
    known = {tuple(key): pk for pk, *key in keys[: REREAD_LIMIT + 1]}
    few = len(known) <= REREAD_LIMIT
    targets = partial(client.show_targets_in_device_policy, policy_id)
    with ThreadPoolExecutor(2) as pool:
        policy = pool.submit(client.show_device_policy, policy_id)
        first = pool.submit(targets) if few else None
    with suppress(IotdaError):
        Policies().store([policy_row(policy.result(), started)])
        if first:
            read = partial(listed_bindings, policy_id, started)
            rows, whole = read(
                lambda page: first.result() if page == FIRST_PAGE else targets(page)
            )
            # The answers do not name the policy: what differs must be listed twice.
            again = rows if rows.keys() == known.keys() else read(targets)[0]
            doubtful = rows.keys() ^ again.keys()
            agreed = [row for key, row in rows.items() if key not in doubtful]
            gone = store_listed(agreed, known) - doubtful
            if whole:
                Bindings().delete_gone(gone, started, started)


def listed_bindings(
    policy_id: str, read_at: datetime, fetch_page: FetchPage[PolicyTarget]
) -> tuple[dict[Key, Any], bool]:
    """Return at most REREAD_LIMIT bindings of a policy, and whether these are all."""
    found, key_of = walk(fetch_page), Bindings().key_of
    rows = [
        binding_row(policy_id, target, read_at)
        for target in islice(found, REREAD_LIMIT)
    ]
    return {key_of(row): row for row in rows}, next(found, None) is None


def store_listed(rows: Sequence[Any], known: Mapping[Key, int]) -> set[Key]:
    """Store listed bindings of one policy. Return which of the known ones are missing.

    `known` are the primary keys of the stored bindings. Rows that are only confirmed need
    no transaction.
    """
    mirror = Bindings()
    listed = {mirror.key_of(row): row for row in rows}
    again = [known[key] for key in listed.keys() & known.keys()]
    if again:
        read_at = rows[0].read_at
        older = Binding.objects.filter(pk__in=again, read_at__lt=read_at)
        older.update(read_at=read_at)
    mirror.store(row for key, row in listed.items() if key not in known)
    return known.keys() - listed.keys()
