import pytest

EVERY = "select * from device order by marker desc limit 50"


@pytest.fixture
def sim(sim):
    sim.patch(search_rate=0)
    return sim


def ids(rows):
    return [row["device_id"] for row in rows]


def count(sim, where):
    return sim.post("/search/query-devices", {"sql": f"select count(*) from device {where}"}).json()["count"]


def test_it_answers_rows_without_a_description_and_with_a_marker(sim):
    row = sim.search(EVERY)[0]
    assert "description" not in row
    assert {"groups", "modules", "marker", "tags", "app_name"} <= set(row)


def test_it_counts_instead(sim):
    answer = sim.post("/search/query-devices", {"sql": "SELECT COUNT(1) FROM device"}).json()
    assert answer == {"count": 60}


def test_it_answers_only_the_fields_asked_for(sim):
    assert set(sim.search("select device_id, status from device limit 1")[0]) == {"device_id", "status"}


@pytest.mark.parametrize("status", ["ONLINE", "OFFLINE", "INACTIVE", "ABNORMAL", "FROZEN"])
def test_it_finds_by_status(sim, status):
    found = sim.search(f"select * from device where status = '{status}' order by marker limit 50")
    assert {row["status"] for row in found} == {status}
    assert count(sim, f"where status != '{status}'") == 60 - len(found)


def test_it_walks_by_marker(sim):
    seen, below = [], "f" * 24
    while rows := sim.search(
        f"select * from device where status = 'ONLINE' and marker < '{below}' order by marker desc limit 7"
    ):
        seen, below = seen + ids(rows), rows[-1]["marker"]
    assert len(seen) == len(set(seen)) == count(sim, "where status = 'ONLINE'")


def test_it_promises_no_order_without_order_by(sim):
    sql = "select * from device limit 50"
    assert ids(sim.search(sql)) != ids(sim.search(sql))


def test_it_binds_and_before_or(sim):
    one = sim.device(sim.known.online)
    where = f"where device_id = '{sim.known.frozen}' or node_id = '{one['node_id']}' and status = 'OFFLINE'"
    assert count(sim, where) == 1


def test_it_finds_by_prefix(sim):
    found = sim.search("select * from device where node_id like 'pump%' order by marker limit 50")
    assert found
    assert all(row["node_id"].startswith("pump") for row in found)


def test_it_finds_in_a_list(sim):
    one, two = sim.known.free[:2]
    assert count(sim, f"where device_id in ('{one}', '{two}', 'nobody')") == 2
    assert count(sim, f"where device_id not in ('{one}', '{two}')") == 58


def test_it_finds_by_tag_space_and_gateway(sim):
    sim._control("PATCH", f"/devices/{sim.known.online}", {"tags": [["colour", "red"]]})
    assert count(sim, "where tag_key = 'colour' and tag_value = 'red'") == 1
    assert count(sim, f"where gateway_id = '{sim.known.gateway}' and node_type = 'ENDPOINT'") == 4
    assert count(sim, f"where app_id = '{sim.known.space}' or app_id != '{sim.known.space}'") == 60


def test_it_finds_by_time(sim):
    before = count(sim, "where create_time < '2026-08-31T22:00:00.000Z'")
    after = count(sim, "where create_time > '2026-08-31T21:59:59.999Z'")
    assert 0 < before < 60
    assert before + after == 60


def test_it_takes_an_offset(sim):
    everything = ids(sim.search(EVERY))
    assert ids(sim.search("select * from device order by marker desc limit 10,5")) == everything[10:15]


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "drop table device",
        "select * from device_x",
        "select secret from device",
        "select * from device where status = ''",
        "select * from device where status = null",
        "select * from device where (status = 'ONLINE')",
        "select * from device where upper(status) = 'ONLINE'",
        "select * from device where description = 'x'",
        "select * from device where status > 'ONLINE'",
        "select * from device where status <= 'ONLINE'",
        "select * from device where status like 'ONLI%'",
        "select * from device where node_id like 'pu%'",
        "select * from device where node_id like '%pump'",
        "select * from device where node_id like 'pu_p.%'",
        "select * from device where tag_key in ('a')",
        "select * from device where status = 'it''s'",
        "select * from device order by status",
        "select * from device limit 51",
        "select * from device limit 501,10",
        "select * from device limit 0",
        "select * from device where " + " or ".join(["node_id = 'n'"] * 6),
        "select * from device where node_id = '" + "x" * 400 + "'",
        "select * from device; select * from device",
        "select * from device where marker < 'x'",
        "select * from device where create_time < '2026'",
    ],
)
def test_it_refuses_what_is_not_its_sql(sim, sql):
    assert sim.post("/search/query-devices", {"sql": sql}).status_code == 400


def test_it_takes_one_search_a_second(sim):
    sim.patch(search_rate=1)
    answers = [sim.post("/search/query-devices", {"sql": EVERY}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert (answers[1].json()["error_code"], answers[1].headers["Retry-After"]) == ("APIGW.0308", "1")
