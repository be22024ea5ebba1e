"""The rows of the list: each kind is rendered once, and filled with a row's texts."""

import html
import re

import pytest
from django.test import Client

from devices.models import Device
from tests.cloud import Cloud
from tests.conftest import signed_in


@pytest.mark.parametrize(
    "name", ["{id}", "{{ name }}", "{0.__class__}", "{% now 'Y' %}", "<b>&amp;\"'</b>"]
)
def test_a_name_is_shown_as_it_is(
    operator: Client, inventory: Cloud, name: str
) -> None:
    device = Device.objects.get(pk=inventory.known_ids["online"])
    Device.objects.filter(pk=device.pk).update(name=name)
    text = operator.get("/devices/", {"q": device.pk}).text
    assert f"<bdi>{html.escape(name)}</bdi></a>" in text
    assert f'aria-label="Select {html.escape(name)}"' in text
    assert f'aria-label="Freeze {html.escape(name)}"' in text


@pytest.mark.parametrize("status", ["{id}", "{name!r}", "<b>", "}{"])
def test_an_odd_status_is_shown_as_it_is(
    viewer: Client, inventory: Cloud, status: str
) -> None:
    """It is part of the kind of row, not one of its texts."""
    device = Device.objects.get(pk=inventory.known_ids["online"])
    Device.objects.filter(pk=device.pk).update(status=status)
    text = viewer.get("/devices/", {"q": device.pk}).text
    assert f'data-state="{html.escape(status)}"' in text


def test_each_row_has_its_own_texts(viewer: Client, inventory: Cloud) -> None:
    text = viewer.get("/devices/").text
    shown = list(Device.objects.all()[:50])
    assert len(shown) > 20
    for device in shown:
        row = text.partition(f'<tr id="device-{device.pk}">')[2].partition("</tr>")[0]
        assert f"<bdi>{device}</bdi>" in row
        assert f"<bdi>{device.product_name}</bdi>" in row
        assert f'data-state="{device.status}"' in row


def test_a_viewer_is_offered_no_changes(inventory: Cloud) -> None:
    """Another user's rows of the same kind were rendered before."""
    assert "/freeze/" in signed_in("operator").get("/devices/").text
    seen = signed_in("viewer").get("/devices/").text
    assert "/freeze/" not in seen
    assert 'name="target"' not in seen


def test_the_page_is_sent_compressed(viewer: Client, inventory: Cloud) -> None:
    whole = viewer.get("/devices/")
    sent = viewer.get("/devices/", headers={"accept-encoding": "gzip"})
    assert sent.headers["Content-Encoding"] == "gzip"
    assert len(sent.content) < len(whole.content) / 4


def test_a_page_is_sent_without_the_indentation_of_its_templates(
    viewer: Client, inventory: Cloud
) -> None:
    text = viewer.get("/devices/").text
    assert "<tbody" in text
    assert re.findall(r"\n[ \t]+.*", text) == []
