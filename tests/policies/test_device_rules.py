"""What a device may do, on its pages and where a policy is bound."""

from typing import Any

import pytest
from django.test import Client

from devices.models import Device
from iotda_admin.access.models import Grant
from policies.effective import RULES_LISTED
from policies.models import Binding, Policy
from policies.statements import PUBLISH, SUBSCRIBE
from tests.cloud import Cloud
from tests.conftest import HTMX, make_user
from tests.operation_helpers import bind_form

BOTH = [PUBLISH, SUBSCRIBE]
BIND = "/policies/selection.bind/"


@pytest.fixture
def device(inventory: Cloud) -> Device:
    """Return a device without any policy, also of its product and its space."""
    Binding.objects.all().delete()
    return Device.objects.get(pk=inventory.known_ids["online"])


def make_policy(
    name: str, *rules: tuple[str, list[str], str], app_id: str = ""
) -> Policy:
    statements = [
        {"effect": effect, "actions": actions, "resources": [f"topic:{topic}"]}
        for effect, actions, topic in rules
    ]
    return Policy.objects.create(
        policy_id=name, name=name, app_id=app_id, statements=statements
    )


def bind(policy: Policy, kind: str, target_id: str) -> None:
    Binding.objects.create(policy=policy, target_type=kind, target_id=target_id)


def ask(client: Client, device: Device, action: str, topic: str) -> str:
    url = f"/policies/of.device/{device.pk}/"
    response = client.get(url, {"action": action, "topic": topic}, headers=HTMX)
    assert response.status_code == 200
    return " ".join(response.text.split())


def test_the_answer_names_the_rule_that_decides(viewer: Client, device: Device) -> None:
    bind(make_policy("open", ("ALLOW", BOTH, "*")), "app", device.app_id)
    closed = ("DENY", [PUBLISH], "/v1/${devices.deviceId}/debug/*")
    bind(make_policy("closed", closed), "product", device.product_id)
    text = ask(viewer, device, PUBLISH, f"/v1/{device.pk}/debug/x")
    assert "<strong>No.</strong>" in text
    assert f"<code>/v1/{device.pk}/debug/*</code>" in text
    assert "<bdi>closed</bdi></a>" in text
    assert "(Its product)" in text
    text = ask(viewer, device, SUBSCRIBE, f"/v1/{device.pk}/debug/x")
    assert "<strong>Yes.</strong>" in text
    assert "<bdi>open</bdi></a>" in text
    assert "(Its resource space)" in text


def test_without_a_rule_the_answer_is_no_and_says_what_is_assumed(
    viewer: Client, device: Device
) -> None:
    text = ask(viewer, device, PUBLISH, "/x")
    assert "No policy in effect allows it. Assumed:" in text


def test_mqtt_wildcards_in_a_policy_are_pointed_out(
    viewer: Client, device: Device
) -> None:
    bind(make_policy("mqtt", ("ALLOW", BOTH, "/v1/#")), "device", device.pk)
    text = ask(viewer, device, PUBLISH, "/v1/x")
    assert "<strong>No.</strong>" in text
    assert "the answer would be another one" in text
    # A device that subscribes to just this filter is allowed to.
    text = ask(viewer, device, SUBSCRIBE, "/v1/#")
    assert "<strong>Yes.</strong>" in text
    assert "the answer would be another one" not in text


@pytest.mark.parametrize("known", [True, False])
def test_unknown_statements_make_the_answer_unknown(
    viewer: Client, device: Device, known: bool
) -> None:
    bind(make_policy("open", ("ALLOW", BOTH, "*")), "app", device.app_id)
    later = Policy(policy_id="later", name="later")
    if known:
        later.save()
    bind(later, "device", device.pk)
    text = ask(viewer, device, PUBLISH, "/x")
    assert "<strong>Unknown.</strong>" in text
    assert ("/policies/later/" in text) is known


def test_policies_of_other_spaces_count_without_being_named(
    device: Device, client: Client
) -> None:
    user = make_user("viewer")
    Grant.objects.filter(user=user).delete()
    Grant.objects.create(user=user, app_id=device.app_id)
    client.force_login(user)
    secret = make_policy("secret", ("DENY", BOTH, "/x"), app_id="elsewhere")
    bind(secret, "device", device.pk)
    text = ask(client, device, PUBLISH, "/x")
    assert "<strong>No.</strong>" in text
    assert "a policy outside of your resource spaces" in text
    assert "<code>/x</code>" not in text
    page = client.get(f"/policies/of.device/{device.pk}/").text
    assert "secret" not in page
    assert "<code>/x</code>" not in page
    assert "1 more counts, but is not shown" in " ".join(page.split())


@pytest.mark.parametrize(
    ("action", "topic", "sentence"),
    [
        (PUBLISH, "$oc/devices/x", "do not apply to topics that begin with $oc"),
        (PUBLISH, "/a/+", "No device can publish to a topic with + or #."),
        (PUBLISH, "x" * 129, "at most 128 bytes"),
        (PUBLISH, "水" * 43, "at most 128 bytes"),
        (PUBLISH, "", "Enter a topic."),
        ("fly", "/x", ""),
    ],
)
def test_what_is_no_topic_gets_a_sentence(
    viewer: Client, device: Device, action: str, topic: str, sentence: str
) -> None:
    text = ask(viewer, device, action, topic)
    assert sentence in text
    assert "<strong>" not in text


def test_the_page_lists_all_rules_and_those_without_effect(
    viewer: Client, device: Device
) -> None:
    bind(make_policy("open", ("ALLOW", BOTH, "/v1/*")), "app", device.app_id)
    bind(make_policy("quarantine", ("DENY", BOTH, "*")), "device", device.pk)
    url = f"/policies/of.device/{device.pk}/"
    response: Any = viewer.get(url, {"action": PUBLISH, "topic": "/v1/a"})
    text = " ".join(response.text.split())
    assert "2 rules for this device" in text
    assert "No effect: <bdi>quarantine</bdi> denies it." in text
    assert 'value="/v1/a"' in text
    assert "<strong>No.</strong>" in text


def bind_page(client: Client, policy: Policy, device: Device) -> str:
    form = bind_form(policy.pk, device.pk, act="find")
    text = " ".join(client.post(BIND, form).text.split())
    return text.partition('id="effect-title"')[2].partition("</section>")[0]


def test_the_bind_page_says_what_changes_for_a_device(
    policyadmin: Client, device: Device
) -> None:
    bind(make_policy("open", ("ALLOW", BOTH, "*")), "app", device.app_id)
    bind(make_policy("no-debug", ("DENY", BOTH, "/debug/*")), "device", device.pk)
    narrow = make_policy(
        "narrow",
        ("ALLOW", [PUBLISH], "/v1/x"),
        ("ALLOW", [PUBLISH], "/debug/x"),
        ("DENY", [PUBLISH], "/debug/x"),
        ("DENY", BOTH, "/other/*"),
    )
    allowed, void, same, ends = bind_page(policyadmin, narrow, device).split("<li ")[1:]
    assert "it is so already by:" in allowed
    assert "<bdi>open</bdi></a>" in allowed
    assert "it is denied by:" in void
    assert "<bdi>no-debug</bdi></a>" in void
    assert "it is so already by:" in same
    assert "<bdi>no-debug</bdi></a>" in same
    assert "Ends what is allowed now, or a part of it:" in ends
    assert "<bdi>open</bdi></a>" in ends
    part = make_policy("part", ("DENY", [SUBSCRIBE], "/only/this"))
    assert "or a part of it:" in bind_page(policyadmin, part, device)


def test_the_bind_page_counts_denials_of_a_part_and_of_the_policy_itself(
    policyadmin: Client, device: Device
) -> None:
    bind(make_policy("no-debug", ("DENY", BOTH, "/v1/debug")), "device", device.pk)
    mixed = make_policy(
        "mixed",
        ("ALLOW", [PUBLISH], "/v1/*"),
        ("ALLOW", [SUBSCRIBE], "/v2/a"),
        ("DENY", BOTH, "/v2/*"),
        ("ALLOW", [PUBLISH], "/v3"),
    )
    part, own, denial, new = bind_page(policyadmin, mixed, device).split("<li ")[1:]
    assert "a part is denied by:" in part
    assert "<bdi>no-debug</bdi></a>" in part
    assert "it is denied by:" in own
    assert "<bdi>mixed</bdi></a>" in own
    assert "New for it." in denial
    assert "New for it." in new


def test_the_bind_page_takes_a_device_of_the_product_as_an_example(
    policyadmin: Client, device: Device
) -> None:
    policy = make_policy("new", ("ALLOW", BOTH, "/${devices.deviceId}/x"))
    form = bind_form(policy.pk, device.product_id, target_type="product", act="find")
    text = policyadmin.post(BIND, form).text
    rows = Device.objects.filter(product_id=device.product_id)
    examples = [f"<code>/{each.pk}/x</code>" for each in rows]
    assert sum(example in text for example in examples) == 1


def test_the_statements_point_out_what_is_no_wildcard(
    viewer: Client, device: Device
) -> None:
    policy = make_policy("mqtt", ("ALLOW", BOTH, "/v1/#"))
    make_policy("plain", ("ALLOW", BOTH, "/v1/*"))
    hint = "+ and # stand for themselves"
    assert hint in viewer.get(f"/policies/{policy.pk}/").text
    assert hint not in viewer.get("/policies/plain/").text


def test_the_bind_page_compares_all_rules_or_none(
    policyadmin: Client, device: Device
) -> None:
    """A denial among those left out would make a sentence false."""
    rules = [("ALLOW", BOTH, f"/v1/{n}") for n in range(RULES_LISTED)]
    new = make_policy("new", *rules)
    assert "New for it." in bind_page(policyadmin, new, device)
    many = make_policy("many", *rules, ("DENY", BOTH, "*"))
    assert bind_page(policyadmin, many, device) == ""
