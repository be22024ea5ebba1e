"""The short form of bin/bench: checks the measurements, not the speed."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from signal import SIGKILL
from typing import Any

import pytest
from pytest_django import Settings

from tests.bench import __main__ as bench
from tests.bench import (
    audit,
    bind,
    find,
    find_probe,
    find_questions,
    first_view,
    freeze,
    growth,
    idle,
    intake,
    memory,
    page,
    page_probe,
    ratelimit,
    sync,
    trail,
    trail_probe,
)
from tests.bench.busy import spinning
from tests.bench.goals import Goal, Report, slope
from tests.bench.identity import NOTHING, Identity, compare
from tests.bench.probed import middle
from tests.bench.stage import staged
from tests.e2e.chromium import find_chromium

# The vendor's SDK calls it; we cannot change that.
pytestmark = pytest.mark.filterwarnings(
    "ignore:datetime.datetime.utcnow:DeprecationWarning"
)

SAME = {"command", "control", "database", "goals", "identity", "met", "rounds"}


@pytest.fixture(scope="module")
def stage() -> Iterator[Any]:
    kind = (
        "postgres"
        if os.environ.get("DATABASE_URL", "").startswith("postgres")
        else "sqlite"
    )
    # Collecting and compressing static files would take longer than these tests.
    with staged(
        500, kind, DJANGO_SETTINGS_MODULE="tests.settings", TARGETS_LIMIT=1000
    ) as stage:
        yield stage


def said(report: Any, *more: Any) -> Any:
    """Return the JSON of the report; check that it is complete and has a table."""
    found = json.loads(report.as_json())
    assert found.keys() >= SAME | set(more)
    assert report.command in report.as_text()
    assert found["identity"] == vars(NOTHING)
    return found


def test_bind(stage: Any) -> None:
    peers = ["raw", "sdk-loop", "sdk-pool"]
    found = said(
        bind.run(stage, n=60, conc=4, latency_ms=1, against=peers, rounds=1),
        "sides",
        "n",
        "conc",
    )
    assert found["sides"].keys() == {*peers, "product"}
    assert len(found["goals"]) == len(found["control"]["goals"]) == 3
    assert [found["sides"][name]["lost"] for name in peers] == [0, 0, 0]


def test_growth(stage: Any) -> None:
    found = said(
        growth.run(stage, sizes=[20, 400], conc=4, latency_ms=1, rounds=1),
        "sizes",
        "targets",
    )
    assert found["targets"].keys() == {"20", "400"}
    assert all(one["worker_peak_mb"] > 10 for one in found["targets"].values())


def test_ratelimit(stage: Any) -> None:
    report = ratelimit.run(
        stage, n=200, rate=20, burst=2, conc=4, latency_ms=1, rounds=1
    )
    assert said(report, "sides", "rate", "burst")["sides"]["sdk-pool"]["lost"] > 0
    assert report.control_fails


def test_freeze(stage: Any) -> None:
    report = freeze.run(stage, n=60, conc=4, latency_ms=1, task_speed=1e6, rounds=1)
    assert said(report, "sides", "calls_used")["sides"]["sdk-pool"]["calls"] == 60
    assert report.control_fails


def test_idle(stage: Any) -> None:
    report = idle.run(stage, seconds=1, rounds=1, warm_up=3)
    assert said(report, "percent")["percent"].keys() == {"worker", "web", "polling"}
    assert report.control_fails


@pytest.mark.browser
@pytest.mark.skipif(not find_chromium(), reason="Chromium is not installed")
def test_first_view(stage: Any) -> None:
    report = first_view.run(stage, rounds=1)
    views = said(report, "views")["views"]
    assert views.keys() == set(first_view.PAGES)
    # The page, a style sheet and two scripts.
    assert {views[name]["requests"] for name in ("device list", "sign-in")} == {4}
    assert report.control_fails


def test_memory(stage: Any) -> None:
    report = memory.run(stage, n=90, rounds=1)
    found = said(report, "megabytes", "requests")
    assert found["requests"] == 90
    assert found["megabytes"].keys() == set(memory.SIDES)
    assert all(10 < mb < 1000 for some in found["megabytes"].values() for mb in some)


def test_input(stage: Any) -> None:
    report = intake.run(stage, n=60, rounds=1, latency_ms=1)
    recorded = {way: rounds[0][1] for way, rounds in report.figures["ways"].items()}
    assert recorded == dict.fromkeys(intake.WAYS, 60)
    assert report.control_fails


def test_sync(stage: Any) -> None:
    report = sync.run(stage, conc=4, rounds=1, latency_ms=1)
    found = said(report, "seconds", "rows")
    assert found["rows"] > 500
    assert found["seconds"].keys() == {"sdk", *sync.WAYS}
    assert found["moved"] > 0
    # Few rows: each sync needs much more than the goal.
    assert report.control_fails


FEW = [
    "newest",
    "target",
    "error code, common",
    "reason, rare and old",
    "person, failed",
    "error codes",
    "apart",
]


@pytest.mark.django_db
def test_audit() -> None:
    pages, alone = {}, {}
    for size in (300, 6000):
        trail.fill(size)
        reader = trail_probe.Reader()
        pages[size] = {
            name: middle([reader.answer(name) for _ in "123"])
            for name in (*FEW, "control")
        }
        alone[size] = {
            name: trail_probe.WHAT[what](*how)
            for name, (what, *how) in audit.ALONE.items()
        }
    # Times as of a long trail; the time of a page is not tested here.
    pages[300]["control"]["seconds"], pages[6000]["control"]["seconds"] = 0.001, 0.02
    report = audit.make_report("sqlite", 1, pages, alone)
    found = said(report, "milliseconds", "slopes", "alone")
    # Each question finds rows, except the one that must not.
    assert {name for name in FEW if not found["rows"][name]} == {"apart"}
    assert alone[6000]["verify"]["bad"] == []
    assert alone[6000]["verify"]["rows"] >= 6000
    assert report.control_fails


@pytest.mark.django_db
def test_page(settings: Settings) -> None:
    settings.ROOT_URLCONF = page_probe.URLS
    pages = {}
    for size in (60, 120):
        page_probe.fill(size)
        reader = page_probe.Reader()
        pages[size] = {name: reader.answer(name) for name in page.QUESTIONS}
    # A time as of a slow machine; the time of a page is not tested here.
    for answers in pages.values():
        answers["control"]["seconds"] = 0.05
    report = page.make_report("sqlite", 1, pages)
    found = said(report, "pages", "sizes")["pages"]["120"]
    assert found["list"]["rows"] == found["control"]["rows"] == 51
    assert found["list"]["bytes"] == found["control"]["bytes"]
    assert report.control_fails


@pytest.mark.django_db
def test_find() -> None:
    found = {}
    for size in (3000, 6000):
        find_probe.fill(size)
        reader = find_probe.Reader()
        found[size] = {name: reader.answer(name) for name in find_questions.ASKED}
    # A time as of a slow machine; the time of a search is not tested here.
    found[6000]["control"]["seconds"] = 1.0
    report = find.make_report("sqlite", 1, found)
    counts = {name: one["count"] for name, one in found[6000].items()}
    assert len(said(report, "found", "slopes")["slopes"]) == len(counts)
    assert counts["substring, found"] == counts["whole ID"] == counts["node ID"] == 1
    assert counts["two Chinese characters"] == 2
    assert counts["frozen, product, space, direct"] > 0
    assert counts["control"] == counts["substring, not found"] == 0
    assert report.control_fails


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, NOTHING),
        ({"applied": "a"}, Identity(missing=1, unrecorded=0, wrong=1, twice=0)),
        ({"said": {"a": "ok"}}, Identity(missing=0, unrecorded=1, wrong=0, twice=0)),
        (
            {"said": {"a": "ok", "b": "unknown"}},
            Identity(missing=0, unrecorded=1, wrong=0, twice=0),
        ),
        (
            {"said": {"a": "ok", "b": "failed"}},
            Identity(missing=0, unrecorded=1, wrong=0, twice=0),
        ),
        (
            {"said": {"a": "ok", "b": "ok", "c": "ok"}},
            Identity(missing=0, unrecorded=0, wrong=1, twice=0),
        ),
        (
            {"sent": Counter(a=1, b=2)},
            Identity(missing=0, unrecorded=0, wrong=0, twice=1),
        ),
    ],
)
def test_the_records_are_compared_with_the_platform(changed: Any, found: Any) -> None:
    same = {
        "asked": "ab",
        "applied": "ab",
        "sent": Counter("ab"),
        "said": {"a": "ok", "b": "ok"},
    }
    assert compare(**same | changed) == found


GOOD, BAD = Goal("g", 1, "<=", 2), Goal("b", 3, "<=", 2)
LOST = Identity(missing=0, unrecorded=1, wrong=0, twice=0)


@pytest.mark.parametrize(
    ("goal", "control", "identity", "status"),
    [
        (GOOD, BAD, NOTHING, 0),
        (BAD, BAD, NOTHING, 1),
        (GOOD, GOOD, NOTHING, 1),
        (GOOD, BAD, LOST, 1),
    ],
)
def test_a_missed_goal_a_passing_control_or_a_lost_target_fails_the_run(
    goal: Any, control: Any, identity: Any, status: int
) -> None:
    report = Report(
        "x", {}, [["t"]], identity=identity, goals=[goal], controls=[control]
    )
    assert bench.print_report(report) == status


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("limit=50&offset=0", False),
        ("limit=50&offset=50", True),
        ("marker=f&offset=0", True),
    ],
)
def test_a_poll_is_distinguished_from_a_page(query: str, page: bool) -> None:
    assert freeze.is_page_turn(query) == page


def test_other_load_ends_with_the_command() -> None:
    processes = []

    def interrupted() -> None:
        with spinning(2) as started:
            processes.extend(started)
            assert [process.poll() for process in processes] == [None, None]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process.poll() for process in processes] == [-SIGKILL, -SIGKILL]


def test_every_command_can_run_beside_other_load_and_prints_its_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("x", {}, [["t"]], goals=[GOOD], controls=[BAD])
    monkeypatch.setattr(bench, "run_command", lambda asked: report)
    assert bench.main(["bind", "--busy", "1"]) == 0
    printed = capsys.readouterr().out
    assert "busy 1" in printed
    assert re.search(r"in all [\d.]+ s, [\d.]+ s of processor time", printed)
    assert json.loads(printed.splitlines()[-1])["whole"].keys() == {
        "wall",
        "processor",
    }


def test_a_slope_is_the_slope_of_the_logarithms() -> None:
    assert slope({10: 2.0, 100: 20.0, 1000: 200.0}) == pytest.approx(1)
    assert slope({10: 1.0, 100: 100.0}) == pytest.approx(2)
