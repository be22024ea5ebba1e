"""Times on pages: in the reader's time zone, 24 hours, one format."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from iotda_admin.core.middleware import TIME_ZONE_COOKIE
from iotda_admin.core.templatetags.core_tags import platform_moment
from iotda_admin.core.time_zone import zone_named
from iotda_admin.inventory.models import MirrorState
from iotda_admin.operations.models import Operation

pytestmark = pytest.mark.django_db
AT = datetime(2026, 1, 2, 15, 4, 5, tzinfo=UTC)
IN_SHANGHAI = (
    '<time datetime="2026-01-02T15:04:05Z" title="2026-01-02 23:04:05 UTC+08:00" '
    "data-age>2026-01-02 23:04</time>"
)


def test_a_time_is_in_the_readers_time_zone_with_the_exact_time_as_title(
    auditor: Client,
) -> None:
    Operation.objects.create(
        verb="device.freeze", target_type="device", created_at=AT, finished_at=AT
    )
    auditor.cookies[TIME_ZONE_COOKIE] = "Asia/Shanghai"
    assert IN_SHANGHAI in auditor.get("/operations/").text
    auditor.cookies[TIME_ZONE_COOKIE] = "UTC"
    assert ">2026-01-02 15:04 UTC</time>" in auditor.get("/operations/").text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("20260102T150405Z", IN_SHANGHAI),
        ("2026-01-02T15:04:05.000Z", IN_SHANGHAI),
        ("2026-01-02T15:04:05", IN_SHANGHAI),
        ("2026-01-02T16:04:05+01:00", IN_SHANGHAI),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("2026-02-30T00:00:00Z", "2026-02-30T00:00:00Z"),
        ("soon", "soon"),
    ],
)
def test_a_time_of_iotda_is_shown_like_ours(text: str, shown: str) -> None:
    with timezone.override(zone_named("Asia/Shanghai")):
        assert str(platform_moment(text)).replace(" >", ">") == shown


def test_djangos_admin_has_the_same_format(client: Client) -> None:
    boss = User.objects.create_superuser("boss")
    client.force_login(boss)
    User.objects.update(last_login=AT)
    client.cookies[TIME_ZONE_COOKIE] = "Asia/Shanghai"
    for url in ("/admin/auth/user/", f"/admin/auth/user/{boss.pk}/change/"):
        text = client.get(url).text
        assert "2026-01-02 23:04" in text
        assert not {"a.m.", "p.m."} & set(text.split())


def test_the_age_of_the_inventory_has_the_exact_time_as_title(auditor: Client) -> None:
    MirrorState.objects.create(table="devices_device", fresh_at=AT)
    text = auditor.get("/devices/").text
    assert '<span title="2026-01-02 15:04:05 UTC">' in text
