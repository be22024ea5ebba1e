"""The same checklist for every view that changes the platform."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from devices.models import Device
from devices.verbs import DeviceVerb
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation
from iotda_admin.operations.verbs import all_verbs, get_verb
from policies.models import Policy
from tests.cloud import Cloud
from tests.conftest import HTMX, signed_in
from tests.operation_helpers import KEY, OTHER_KEY, change_form, write_requests
from tests.samples import BY_VERB, SAMPLES, Known, Sample, View, known_objects
from tests.test_templates import ICONS

ROLES = {"viewer", "operator", "policy admin", "auditor", "admin"}


@dataclass(frozen=True)
class Change:
    """One view of one verb, and the same view for another target."""

    sample: Sample
    view: View

    @property
    def name(self) -> str:
        return self.view.url

    @property
    def verb(self) -> str:
        return self.sample.verb

    @property
    def allowed(self) -> frozenset[str]:
        return self.sample.roles

    @property
    def has_form(self) -> bool:
        return self.view.has_form

    def url(self, known: Known, target: str = "") -> str:
        return self.view.url.format(**known, target=known[target or self.sample.target])

    def form(self, known: Known, target: str = "") -> dict[str, Any]:
        ids = known[target or self.sample.target]
        several = isinstance(ids, list)
        words = known | {
            "target": ids,
            "name": len(ids) if several else known["names"][ids],
        }
        filled = {
            name: ids if value == "{target}" else value.format(**words)
            for name, value in self.view.form.items()
        }
        return change_form(**filled)

    def other_url(self, known: Known) -> str:
        return self.url(known, self.sample.other)

    def other_form(self, known: Known) -> dict[str, Any]:
        return self.form(known, self.sample.other)


CHANGES = [Change(sample, view) for sample in SAMPLES for view in sample.all_views]
every_change = pytest.mark.parametrize(
    "change", CHANGES, ids=lambda change: change.name
)


@pytest.fixture
def known(inventory: Cloud) -> Known:
    return known_objects(inventory)


def test_every_verb_has_a_sample() -> None:
    assert {verb.name for verb in all_verbs()} == set(BY_VERB)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.verb)
def test_every_verb_has_its_texts(sample: Any) -> None:
    verb = sample.about
    words = ["title", "past", "icon", "summary"]
    if isinstance(verb, DeviceVerb):
        words += ["effect", "effect_many", "already_many"]
        words += ["done", "already"] if verb.row_stays else []
    assert [name for name in words if not getattr(verb, name, "")] == []
    assert verb.permissions
    assert {role for each in verb.permissions for role in each.roles} <= ROLES
    assert verb.icon in ICONS
    assert not verb.inverse or get_verb(verb.inverse).inverse == verb.name


def someone_allowed(change: Change) -> Client:
    return signed_in(max(change.allowed - {"admin"}))


def send(client: Client, change: Change, known: dict[str, Any], **more: Any) -> Any:
    return client.post(change.url(known), change.form(known), **more)


@every_change
def test_the_view_changes_iotda_once(change: Any, known: Known, cloud: Cloud) -> None:
    send(someone_allowed(change), change, known)
    (entry,) = write_requests(cloud)
    assert entry["applied"]
    assert Operation.objects.get().verb == change.verb


@every_change
def test_the_view_redirects_to_the_operation(change: Any, known: Known) -> None:
    response = send(someone_allowed(change), change, known)
    assert response.status_code == 302
    assert response["Location"] == Operation.objects.get().get_absolute_url()


@every_change
def test_a_get_sends_nothing(change: Any, known: Known, cloud: Cloud) -> None:
    response = someone_allowed(change).get(change.url(known), change.form(known))
    assert response.status_code == (200 if change.has_form else 302)
    assert not write_requests(cloud)
    assert not Operation.objects.exists()


@every_change
def test_the_view_requires_a_login(
    change: Any, known: Known, cloud: Cloud, anonymous: Client
) -> None:
    response = send(anonymous, change, known)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/?next=")
    assert not write_requests(cloud)


@every_change
def test_an_htmx_request_without_a_session_goes_to_the_login_page(
    change: Any, known: Known, cloud: Cloud, anonymous: Client
) -> None:
    headers = {**HTMX, "HX-Current-URL": "http://testserver/devices/?status=ONLINE"}
    response = send(anonymous, change, known, headers=headers)
    assert (
        response.headers["HX-Redirect"]
        == "/accounts/login/?next=/devices/%3Fstatus%3DONLINE&unsent=1"
    )
    assert not write_requests(cloud)


@pytest.mark.parametrize(
    ("change", "role"),
    [(c, role) for c in CHANGES for role in sorted(ROLES - c.allowed)],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_user_without_permission_is_rejected_and_recorded(
    change: Any, role: Any, known: Known, cloud: Cloud
) -> None:
    response = send(signed_in(role), change, known)
    denied = Event.objects.get(kind="denied")
    assert response.status_code == 403
    assert (denied.role, denied.detail["path"], denied.address) == (
        role,
        change.url(known),
        "127.0.0.1",
    )
    assert not write_requests(cloud)
    assert not Operation.objects.exists()


@every_change
def test_a_form_without_a_csrf_token_is_rejected(
    change: Any, known: Known, cloud: Cloud
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = someone_allowed(change).cookies
    assert send(client, change, known).status_code == 403
    assert not write_requests(cloud)
    assert not Operation.objects.exists()


@pytest.mark.parametrize("reason", ["   ", None])
@every_change
def test_a_reason_is_required_and_the_input_is_kept(
    change: Any, reason: str | None, known: Known, cloud: Cloud
) -> None:
    form = change.form(known) | {"reason": reason, "ticket": "INC-4711"}
    response = someone_allowed(change).post(
        change.url(known), {k: v for k, v in form.items() if v is not None}
    )
    assert response.status_code == 422
    assert "Say why" in response.text
    assert 'value="INC-4711"' in response.text
    assert f'value="{KEY}"' in response.text
    assert not write_requests(cloud)


@pytest.mark.parametrize("key", ["", KEY + "\n"])
@every_change
def test_a_form_without_its_key_is_rejected(
    change: Any, key: Any, known: Known, cloud: Cloud
) -> None:
    form = change.form(known) | {"key": key}
    response = someone_allowed(change).post(change.url(known), form)
    assert response.status_code == 422
    assert "This form was not complete" in response.text
    assert not write_requests(cloud)


@every_change
def test_the_same_form_twice_is_one_operation(
    change: Any, known: Known, cloud: Cloud
) -> None:
    client = someone_allowed(change)
    first, second = send(client, change, known), send(client, change, known)
    assert first.url == second.url
    assert len(write_requests(cloud)) == 1


@every_change
def test_a_repeated_form_finds_its_operation_after_the_rows_are_gone(
    change: Any, known: Known, cloud: Cloud
) -> None:
    client = someone_allowed(change)
    first = send(client, change, known)
    Device.objects.all().delete()
    Policy.objects.all().delete()
    assert send(client, change, known).url == first.url
    assert len(write_requests(cloud)) == 1


@every_change
def test_a_key_reused_with_other_input_is_rejected(
    change: Any, known: Known, cloud: Cloud
) -> None:
    client = someone_allowed(change)
    send(client, change, known)
    response = client.post(change.other_url(known), change.other_form(known))
    assert response.status_code == 409
    assert f"already sent as {Operation.objects.get()}" in response.text
    assert len(write_requests(cloud)) == 1


@every_change
def test_a_conflict_names_who_is_changing_the_target(
    change: Any, known: Known, cloud: Cloud
) -> None:
    cloud.fault(change.sample.request, "throttle", retry_after=60)
    send(someone_allowed(change), change, known)
    Operation.objects.update(actor_name="chen", created_at="2026-01-02T03:04:05Z")
    response = signed_in("admin").post(
        change.url(known), change.form(known) | {"key": OTHER_KEY}
    )
    assert response.status_code == 409
    operation = Operation.objects.get()
    if "/selection." in change.url(known) and change.sample.verb.startswith("device."):
        # The page lists the devices that cannot change, each with the reason.
        assert f"{operation} by chen is changing it now" in response.text
    else:
        assert f"{operation} by chen has been changing" in response.text
        assert "since 2026-01-02 03:04 UTC" in response.text


@every_change
def test_the_reason_is_in_the_trail_as_text(change: Any, known: Known) -> None:
    form = change.form(known) | {
        "reason": "<script>alert(1)</script>",
        "ticket": "=1+1",
    }
    client = someone_allowed(change)
    response = client.get(client.post(change.url(known), form)["Location"])
    assert "<script>alert" not in response.text
    assert (
        Event.objects.get(kind="operation.asked").reason == "<script>alert(1)</script>"
    )
