"""Searching the audit trail: filters, pages, and what each user may see."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Space
from iotda_admin.access.models import Grant
from iotda_admin.audit import pages
from iotda_admin.audit.head import chain_head
from iotda_admin.audit.models import Event
from iotda_admin.audit.record import record_event
from iotda_admin.audit.search import presets, query, words
from iotda_admin.audit.search.filters import AuditFilterForm
from iotda_admin.audit.search.indexes import Span
from iotda_admin.audit.search.query import TrailSearch
from iotda_admin.operations.models import Operation, OperationSpace
from tests.conftest import make_user

pytestmark = pytest.mark.django_db
BOB = {"actor_id": 8, "actor_name": "Bob"}
EVE = {"actor_id": 9, "actor_name": "Eve"}
ADA: dict[str, Any] = {"actor_id": 7, "actor_name": "Ada", "role": "operator"}
FREEZE = {
    "operation": 1,
    "verb": "device.freeze",
    "target_type": "device",
    "ticket": "INC-1",
}
FULL = ("failed", "IOTDA.015204", "It has five already")


def say(kind: Any, *targets: Any, **facts: Any) -> None:
    record_event(kind, targets=list(targets), **ADA | facts)


class Trail:
    """A user, and the events recorded after it, numbered from 1."""

    def __init__(self, role: str = "auditor", *spaces: Any) -> None:
        self.user = make_user(role, *spaces)
        self.before = chain_head().seq

    def found(self, **filters: Any) -> list[Any]:
        query = QueryDict(mutable=True)
        query.update(filters)
        form = AuditFilterForm(query)
        assert form.is_valid(), form.errors
        ids = TrailSearch(form, self.user).page(Span(), 50).ids
        return [id - self.before for id in ids if id > self.before]

    def client(self) -> Client:
        client = Client()
        client.force_login(self.user)
        return client


def events() -> None:
    """Record events 1 to 8, each with values of its own."""
    say(
        "operation.asked",
        ("pump", "Pump"),
        reason="Unpaid since March",
        source="web",
        **FREEZE,
    )
    say(
        "chunk.answered",
        ("pump", "Pump", "ok"),
        reason="Unpaid since March",
        source="web",
        **FREEZE,
    )
    bind = {
        "operation": 2,
        "verb": "policy.bind",
        "policy_id": "p1",
        "policy_name": "quarantine",
        **BOB,
    }
    say(
        "operation.asked", ("pump",), ("lamp",), reason="欠费停机", source="cli", **bind
    )
    say(
        "chunk.answered",
        ("pump", "", "ok"),
        ("lamp", "", *FULL),
        reason="欠费停机",
        **bind,
    )
    say(
        "operation.asked",
        ("plant",),
        verb="policy.bind",
        target_type="app",
        operation=3,
        space="plant",
    )
    say("denied", summary="/devices/", **EVE)
    say(
        "failure.noted", ("lamp",), operation=2, reason="March again, says the customer"
    )
    say("login", source="web", **EVE)


@pytest.fixture
def trail() -> Trail:
    trail = Trail()
    events()
    return trail


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, [8, 7, 6, 5, 4, 3, 2, 1]),
        ({"actor": "Bob"}, [4, 3]),
        ({"actor": "bOB"}, [4, 3]),
        ({"actor": "\u2066Bob\u2069 "}, [4, 3]),
        ({"ticket": "INC-1\u200b"}, [2, 1]),
        ({"ticket": "“inc-1”,"}, [2, 1]),
        ({"ticket": "ＩＮＣ－１"}, [2, 1]),
        ({"kind": "operation.asked"}, [5, 3, 1]),
        ({"verb": "policy.bind"}, [5, 4, 3]),
        ({"target": "pump"}, [4, 3, 2, 1]),
        ({"policy": "p1"}, [4, 3]),
        ({"policy": "quarantine"}, [4, 3]),
        ({"policy": "Quarantine\u200b"}, [4, 3]),
        ({"outcome": "ok"}, [4, 2]),
        ({"outcome": "denied"}, [6]),
        ({"code": "IOTDA.015204"}, [4]),
        ({"code": " iotda.015204\u200b"}, [4]),
        ({"ticket": "inc-1"}, [2, 1]),
        ({"operation": "op-2"}, [7, 4, 3]),
        ({"operation": "OP2"}, [7, 4, 3]),
        ({"operation": "op 2"}, [7, 4, 3]),
        ({"operation": "#2"}, [7, 4, 3]),
        ({"operation": "2"}, [7, 4, 3]),
        ({"source": "cli"}, [3]),
        ({"whole": "on"}, [5]),
        ({"reason": "unpaid"}, [2, 1]),
        ({"reason": "mar"}, [7, 2, 1]),
        ({"reason": "customer MARCH"}, [7]),
        ({"reason": "停机"}, [4, 3]),
        ({"reason": "欠"}, [4, 3]),
        ({"reason": "机"}, [4, 3]),
        ({"reason": "nobody wrote this"}, []),
        ({"target": "pump", "outcome": "ok"}, [4, 2]),
        # Two targets of the event match one filter each: no match.
        ({"target": "pump", "outcome": "failed"}, []),
        ({"target": "lamp", "outcome": "failed", "code": "IOTDA.015204"}, [4]),
        ({"actor": "Ada", "kind": "operation.asked", "verb": "policy.bind"}, [5]),
        ({"reason": "march", "kind": "failure.noted"}, [7]),
        ({"actor": "Eve", "verb": "device.freeze"}, []),
        ({"operation": "99999999999999999"}, []),
    ],
)
def test_filters_find_events(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, filters: Any, ids: list[Any]
) -> None:
    assert trail.found(**filters) == ids
    # Common words are searched for in another way, with the same result.
    monkeypatch.setattr(words, "MAX_INDEXED_EVENTS", -1)
    assert trail.found(**filters) == ids


def test_an_event_with_several_matching_words_counts_once(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("failure.noted", reason="valve valves valved")
    say("failure.noted", reason="valvular")
    monkeypatch.setattr(words, "MAX_INDEXED_EVENTS", 2)
    assert trail.found(reason="valv") == [10, 9]


def at(seconds: Any) -> str:
    return f"{timezone.now() + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}Z"


def test_events_are_found_by_time(trail: Trail) -> None:
    assert trail.found(since=at(-60), until=at(60), actor="Bob") == [4, 3]
    assert trail.found(since=at(60)) == trail.found(until=at(-60)) == []


def test_a_clock_set_back_hides_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    trail, noon = Trail(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    for minute in (0, -9, 1, 20):
        monkeypatch.setattr(
            timezone, "now", lambda minute=minute: noon + timedelta(minutes=minute)
        )
        say("login")
    assert trail.found(since="2026-03-01T12:00Z", actor="Ada") == [4, 3, 1]
    assert trail.found(until="2026-03-01T12:00Z", actor="Ada") == [2]


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_clock_wrong_once_hides_no_other_event(
    monkeypatch: pytest.MonkeyPatch, year: int
) -> None:
    trail, noon = Trail(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    for moment in (noon, noon.replace(year=year), noon):
        monkeypatch.setattr(timezone, "now", lambda moment=moment: moment)
        say("login")
    assert trail.found(
        since="2026-01-01T00:00Z", until="2026-10-01T00:00Z", actor="Ada"
    ) == [3, 1]


def test_a_time_is_in_the_readers_time_zone(auditor: Client) -> None:
    auditor.cookies["iotda_admin_zone"] = "Asia/Shanghai"
    page = auditor.get("/audit/", {"since": "2026-01-01T08:00"})
    assert "2026-01-01 08:00 Asia/Shanghai" in page.text
    assert (
        page.context["form"].active["since"].isoformat() == "2026-01-01T00:00:00+00:00"
    )
    auditor.cookies["iotda_admin_zone"] = "America/New_York"
    again = auditor.get(f"/audit/?{page.context['form'].query()}")
    assert again.context["form"].active["since"] == page.context["form"].active["since"]


DST = [
    # Twice: the earlier and the later moment.
    ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-25T01:30Z"),
    ("2026-11-01T01:30", "America/New_York", "2026-11-01T05:30Z", "2026-11-01T06:30Z"),
    ("2026-11-01T00:30", "America/Havana", "2026-11-01T04:30Z", "2026-11-01T05:30Z"),
    # Never: the first moment after the gap.
    ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:00Z", "2026-03-29T01:00Z"),
    ("2026-03-08T02:30", "America/New_York", "2026-03-08T07:00Z", "2026-03-08T07:00Z"),
    ("2026-04-24T00:00", "Africa/Cairo", "2026-04-23T22:00Z", "2026-04-23T22:00Z"),
    ("2026-03-29T00:00", "Asia/Beirut", "2026-03-28T22:00Z", "2026-03-28T22:00Z"),
    ("2026-09-06T00:00", "America/Santiago", "2026-09-06T04:00Z", "2026-09-06T04:00Z"),
    ("2011-12-30T12:00", "Pacific/Apia", "2011-12-30T10:00Z", "2011-12-30T10:00Z"),
]


@pytest.mark.parametrize(("text", "zone", "since", "until"), DST)
def test_a_time_that_clocks_repeat_or_skip_is_a_boundary(
    auditor: Client, text: str, zone: str, since: str, until: str
) -> None:
    meant = {"since": since, "until": until}
    for name, moment in meant.items():
        page = auditor.get("/audit/", {name: text, "zone": zone})
        form = page.context["form"]
        assert form.active[name] == datetime.fromisoformat(moment)
        # The form of that page sends the same moment again.
        type, value = form.time_input(name)
        assert f'type="{type}" value="{value}"' in page.text
        again = auditor.get("/audit/", {name: value, "zone": zone, "kind": "login"})
        assert again.context["form"].active[name] == form.active[name]


def test_both_occurrences_of_an_hour_are_distinguished(auditor: Client) -> None:
    for offset, kind in [("+02:00", "datetime-local"), ("+01:00", "text")]:
        given = {"since": f"2026-10-25T02:30{offset}", "zone": "Europe/Berlin"}
        page = auditor.get("/audit/", given)
        assert f"2026-10-25 02:30 {offset} Europe/Berlin" in page.text
        type, value = page.context["form"].time_input("since")
        assert type == kind
        again = auditor.get("/audit/", given | {"since": value})
        at = datetime.fromisoformat(given["since"])
        assert again.context["form"].active["since"] == at


def test_events_around_a_repeated_hour_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trail = Trail()
    for minute in (0, 45, 105, 150):
        at = datetime(2026, 10, 25, 0, tzinfo=UTC) + timedelta(minutes=minute)
        monkeypatch.setattr(timezone, "now", lambda at=at: at)
        say("login")
    berlin = {"zone": "Europe/Berlin", "actor": "Ada"}
    assert trail.found(since="2026-10-25T02:30", **berlin) == [4, 3, 2]
    assert trail.found(until="2026-10-25T02:30", **berlin) == [2, 1]


def test_seconds_of_a_link_and_an_invalid_time_stay_in_the_form(
    auditor: Client,
) -> None:
    text = auditor.get("/audit/?since=2026-01-01T10:00:05Z&until=yesterday").text
    assert 'type="text" value="yesterday"' in text
    assert "Write a time like 2026-01-31 14:30." in text
    text = auditor.get("/audit/?since=2026-01-01T10:00:05Z").text
    assert 'type="text" value="2026-01-01T10:00:05+00:00"' in text


def test_times_are_shown_in_the_readers_time_zone_and_utc(auditor: Client) -> None:
    auditor.cookies["iotda_admin_zone"] = "Asia/Shanghai"
    text = auditor.get("/audit/").text
    utc = Event.objects.latest("id").at
    assert f"{utc + timedelta(hours=8):%Y-%m-%d %H:%M:%S}</time>" in text
    assert f"{utc:%H:%M:%S} UTC" in text
    assert "Time, Asia/Shanghai (UTC+08:00)" in text


def test_in_utc_a_time_is_shown_once(auditor: Client) -> None:
    event = Event.objects.latest("id")
    for text in (auditor.get("/audit/").text, auditor.get(f"/audit/{event.pk}/").text):
        assert f"{event.at:%Y-%m-%d %H:%M:%S}</time>" in text
        assert f"{event.at:%H:%M:%S} UTC" not in text


def test_text_in_every_language_is_shown_as_text(auditor: Client) -> None:
    say("operation.asked", ("a", "中文"), summary="中文", reason="中文", ticket="中文",
        role="中文", actor_name="中文", policy_id="p", policy_name="中文",
        detail={"message": "中文", "中文": ["中文"], "filters": {"reason": "中文"}})  # fmt: skip
    seq = chain_head().seq
    query = "?actor=中文&reason=中文"
    for url in ("/audit/" + query, f"/audit/{seq}/", "/audit/export.csv" + query,
                "/audit/export.jsonl" + query):  # fmt: skip
        text = auditor.get(url).getvalue().decode()
        assert text.count("中文") >= 6
        assert "\\u4e2d" not in text
    assert ">中文 reason<" in auditor.get(f"/audit/{seq}/").text


def test_the_resource_space_of_an_event_has_its_name(auditor: Client) -> None:
    Space.objects.create(app_id="plant-1", name="北区")
    say("operation.asked", space="plant-1")
    text = auditor.get(f"/audit/{chain_head().seq}/").text
    assert '<bdi>北区</bdi> <span class="sub mono">plant-1</span>' in text


@pytest.mark.parametrize(
    "zone", ["../../etc/passwd", "Nowhere/Else", "%00", "x" * 5000]
)
def test_an_unknown_time_zone_is_ignored(auditor: Client, zone: str) -> None:
    auditor.cookies["iotda_admin_zone"] = zone
    assert "Time, UTC" in auditor.get("/audit/").text


ODD = [
    "after=x", "before=-1", "after=999999999999999999", "before=99999999999999999999999", "kind=nonsense",
    "ticket=%00", "operation=x", "operation=OP-99999999999999999999", "since=yesterday", "since=0001-01-01",
    "until=9999-12-31T23:59Z", "since=2026-02-30T02:30", "zone=Mars", "reason=!!!",
    "target=" + "x" * 5000, "outcome=&outcome=x", "whole=0", "q=%00", "q=" + "9" * 400, "q=%ud800",
]  # fmt: skip


@pytest.mark.parametrize("what", ["", "export.csv"])
def test_invalid_filters_do_not_break_the_page(auditor: Client, what: str) -> None:
    answers = {
        odd: auditor.get(f"/audit/{what}?{odd}", follow=True).status_code for odd in ODD
    }
    assert {odd: status for odd, status in answers.items() if status != 200} == {}


def test_an_invalid_filter_finds_nothing_and_is_named(auditor: Client) -> None:
    text = auditor.get("/audit/?since=yesterday").text
    assert "This filter finds nothing." in text
    assert 'aria-invalid="true"' in text
    assert "<tbody>" not in text


@pytest.mark.parametrize(
    ("typed", "query"),
    [
        ("inc-1", "ticket=inc-1"),
        ("pump", "target=pump"),
        ("quarantine", "policy=quarantine"),
        ("Bob", "actor=Bob"),
        ("IOTDA.015204", "code=IOTDA.015204"),
        ("OP-2", "operation=OP-2"),
        ("OP2", "operation=OP2"),
        ("op 2", "operation=op+2"),
        ("#2", "operation=%232"),
        ("OP‑2", "operation=OP-2"),
        ("INC-1\u200b", "ticket=INC-1"),
        ("\u202apump\u202c", "target=pump"),
        ("bob", "actor=bob"),
        ("2", "reason=2"),
        ("customer", "reason=customer"),
    ],
)
def test_the_search_box_finds_the_filter_for_a_text(
    trail: Trail, typed: str, query: str
) -> None:
    assert (
        trail.client().get("/audit/", {"q": typed, "actor": ""})["Location"]
        == f"/audit/?{query}"
    )


def test_a_ticket_that_looks_like_an_operation_is_found(trail: Trail) -> None:
    say("operation.asked", ticket="#2")
    assert trail.client().get("/audit/?q=%232")["Location"] == "/audit/?ticket=%232"


def test_people_and_tickets_are_found_in_any_case_of_any_letter() -> None:
    trail = Trail()
    say("login", actor_id=8, actor_name="Øyvind", ticket="ÄND-7 ж")
    for actor in ("øyvind", "ØYVIND", "Øyvind"):
        assert trail.found(actor=actor) == [1]
    for ticket in ("änd-7 ж", "ÄND-7 Ж", "änd-7 Ж"):
        assert trail.found(ticket=ticket) == [1]


def test_an_operation_is_shown_by_its_number(auditor: Client) -> None:
    assert "<bdi>OP-2</bdi>" in auditor.get("/audit/?operation=%232").text


def test_each_filter_has_a_chip_that_removes_it(trail: Trail) -> None:
    text = trail.client().get("/audit/?actor=Bob&operation=2").text
    assert re.findall(r'class="chip" href="([^"]*)"', text) == [
        "?operation=2",
        "?actor=Bob",
    ]


def seqs(page: Any) -> list[Any]:
    return [int(n) for n in re.findall(r'href="/audit/(\d+)/"><time', page)]


def link(page: Any, rel: Any) -> Any:
    found = re.search(rf'href="([^"]*)" rel="{rel}"', page)
    return found and found[1].replace("&amp;", "&")


def test_pages_go_both_ways(auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_SIZE", 3)
    for _n in range(7):
        say("login", actor_name="Zoe")
    last = chain_head().seq
    first = auditor.get("/audit/?actor=Zoe").text
    second = auditor.get(f"/audit/{link(first, 'next')}").text
    third = auditor.get(f"/audit/{link(second, 'next')}").text
    assert [seqs(page) for page in (first, second, third)] == [
        [last, last - 1, last - 2], [last - 3, last - 4, last - 5], [last - 6]
    ]  # fmt: skip
    assert (link(third, "next"), link(first, "prev")) == (None, None)
    back = auditor.get(f"/audit/{link(third, 'prev')}").text
    assert seqs(back) == seqs(second)
    assert seqs(auditor.get(f"/audit/{link(back, 'prev')}").text) == seqs(first)


def test_a_long_search_says_how_far_it_got(
    auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MAX_SEARCHED", 64)
    say("login", actor_name="Zoe", source="cli")
    for _n in range(70):
        say("login", actor_name="Zoe", source="web")
        say("login", actor_name="Max", source="cli")
    page = auditor.get("/audit/?actor=Zoe&source=cli").text
    assert (seqs(page), "Searched so far up to" in page) == ([], True)
    page = auditor.get(f"/audit/{link(page, 'next')}").text
    assert len(seqs(page)) == 1
    assert "Searched so far" not in page


def test_a_search_counts_nothing_and_uses_few_queries(trail: Trail) -> None:
    client = trail.client()
    with CaptureQueriesContext(connection) as queries:
        client.get(
            "/audit/?actor=Bob&outcome=failed&reason=欠费&since=2020-01-01T00:00Z"
        )
    asked = [query["sql"] for query in queries if "audit_event" in query["sql"]]
    assert [sql for sql in asked if "COUNT(" in sql] == []
    assert len(queries) < 30


def test_the_list_shows_up_to_twenty_targets_of_an_event(auditor: Client) -> None:
    # Ids that a hash on the page cannot contain.
    say("chunk.answered", *[(f"meter-{n:02}", "", "ok") for n in range(21)])
    text = auditor.get("/audit/").text
    assert ("meter-19" in text, "meter-20" in text, "All targets" in text) == (
        True,
        False,
        True,
    )
    assert "meter-20" in auditor.get(f"/audit/{chain_head().seq}/").text


def test_an_event_has_its_own_page(auditor: Client) -> None:
    say(
        "denied",
        upstream_id="up-1",
        request_id="re-1",
        ticket="INC-1",
        detail={"note": "<b>"},
        summary="so",
    )
    event = Event.objects.latest("id")
    text = auditor.get(f"/audit/{event.pk}/").text
    assert all(
        each in text
        for each in (event.hash, "up-1", "re-1", "INC-1", "&lt;b&gt;", ">so<")
    )
    assert (
        auditor.get("/audit/99999/").status_code
        == auditor.get(f"/audit/{10**30}/").status_code
        == 404
    )


def test_the_page_shows_the_head_and_the_state_of_the_triggers(auditor: Client) -> None:
    text = auditor.get("/audit/").text
    assert str(chain_head()) in text
    assert "The database rejects changes" in text


def test_a_scoped_auditor_sees_events_in_own_spaces_and_in_none() -> None:
    trail = Trail("auditor", "north")
    for space in ("north", "south", "", "*"):
        say("operation.asked", space=space)
    say(
        "operation.asked",
        space="south",
        actor_id=trail.user.pk,
        actor_name=trail.user.username,
    )
    assert trail.found() == [3, 1]
    client = trail.client()
    answers = [
        client.get(f"/audit/{trail.before + n}/").status_code for n in (1, 2, 3, 4, 5)
    ]
    assert answers == [200, 404, 200, 404, 404]


@pytest.mark.parametrize("role", ["operator", "auditor"])
def test_own_events_in_a_revoked_space_are_hidden(role: str) -> None:
    trail = Trail(role, "north", "south")
    own = {"actor_id": trail.user.pk, "space": "*"}
    say("operation.asked", operation=row_in("north", "south"), **own)
    say("failure.noted", ("pump",), **own)
    say("export", **own)
    assert trail.found() == [3, 1]
    Grant.objects.filter(user=trail.user, app_id="south").delete()
    trail.user = User.objects.get(pk=trail.user.pk)
    assert trail.found() == [3]
    assert [
        trail.client().get(f"/audit/{trail.before + n}/").status_code for n in (1, 2, 3)
    ] == [
        404,
        404,
        200,
    ]


def row_in(*spaces: Any) -> Any:
    row = Operation.objects.create(verb="device.freeze", target_type="device")
    OperationSpace.objects.bulk_create(
        OperationSpace(operation=row, app_id=space) for space in spaces
    )
    return row.pk


def test_a_user_without_the_permission_sees_own_events(operator: Client) -> None:
    say("login", actor_name="another-user-altogether")
    text = operator.get("/audit/").text
    assert "another-user-altogether" not in text
    assert seqs(text) == list(
        Event.objects.filter(actor_name="operator").values_list("id", flat=True)
    )


def test_a_reused_user_name_shows_no_events_of_the_former_user() -> None:
    trail = Trail("operator")
    say("login", actor_id=trail.user.pk + 1, actor_name=trail.user.username)
    say("login", actor_id=trail.user.pk, actor_name=trail.user.username)
    assert trail.found() == [2]


def test_a_renamed_user_keeps_own_events() -> None:
    trail = Trail("operator")
    say("login", actor_id=trail.user.pk, actor_name="before")
    say("logout", actor_id=trail.user.pk, actor_name=trail.user.username)
    say("login", actor_id=trail.user.pk + 1, actor_name="before")
    assert (trail.found(), trail.found(actor="before"), trail.found(kind="logout")) == (
        [2, 1],
        [1],
        [2],
    )


def test_error_codes_are_counted_among_the_newest_failures(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "MAX_FAILURES_COUNTED", 1)
    text = trail.client().get("/audit/codes/").text
    assert "?code=IOTDA.015204&amp;outcome=failed" in text
    assert "Among all failed targets" in text
    say("chunk.answered", ("late", "", "failed", "IOTDA.000006", ""))
    text = trail.client().get("/audit/codes/").text
    assert ("Among the newest 1 failed" in text, "IOTDA.015204" in text) == (
        True,
        False,
    )


def test_every_frequent_search_has_a_page(auditor: Client) -> None:
    page = auditor.get("/audit/")
    answers = Counter(
        auditor.get(url).status_code for _label, url in page.context["presets"]
    )
    assert answers == {200: len(page.context["presets"])}
    assert len(page.context["presets"]) >= 4
