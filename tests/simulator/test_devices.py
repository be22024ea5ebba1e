import pytest


def listed(sim, query):
    return [
        device["device_id"]
        for device in sim.get(f"/devices?limit=50&{query}").json()["devices"]
    ]


def test_it_lists_without_secrets_and_shows_with_them(sim):
    device = sim.get("/devices?limit=1").json()["devices"][0]
    assert "auth_info" not in device
    shown = sim.get(f"/devices/{device['device_id']}").json()
    assert {"auth_info", "create_time", "active_time", "modules"} <= set(shown)


def test_it_shows_a_device_secret_as_the_real_one_does(sim):
    assert (
        len(sim.get(f"/devices/{sim.known.online}").json()["auth_info"]["secret"]) == 32
    )


def test_it_does_not_know_an_unknown_device(sim):
    answer = sim.get("/devices/nobody")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "IOTDA.014000")


@pytest.mark.parametrize("field", ["product_id", "app_id", "node_id", "device_name"])
def test_it_filters_a_list(sim, field):
    device = sim.get("/devices?limit=1").json()["devices"][0]
    rows = sim.get("/devices", headers=None).json()["devices"]
    found = sim.session.get(
        sim.api + sim.root + "/devices",
        params={field: device[field], "limit": 50},
        headers={"X-Auth-Token": sim.token},
    ).json()
    assert device in found["devices"]
    assert {row[field] for row in found["devices"]} == {device[field]}
    assert found["page"]["count"] < 60 == len(rows) * 6


def test_it_combines_filters(sim):
    device = sim.device(sim.known.online)
    both = f"product_id={device['product_id']}&node_id={device['node_id']}"
    assert listed(sim, both) == [sim.known.online]
    assert listed(sim, f"app_id={sim.known.space}&product_id={'0' * 24}") == []


def test_it_lists_the_children_of_a_gateway(sim):
    children = listed(sim, f"gateway_id={sim.known.gateway}")
    assert len(children) == 4
    assert sim.known.gateway not in children


def test_it_cascades_only_when_asked(sim):
    new = {
        "product_id": sim.known.product,
        "node_id": "grandchild",
        "gateway_id": sim.known.child,
    }
    sim._control("POST", "/devices", new)
    assert len(listed(sim, f"gateway_id={sim.known.gateway}")) == 4
    assert (
        len(listed(sim, f"gateway_id={sim.known.gateway}&is_cascade_query=true")) == 5
    )


def test_it_includes_the_start_and_excludes_the_end(sim):
    when = sim.device(sim.known.online)["create_time"]
    assert sim.known.online in listed(sim, f"start_time={when}")
    assert sim.known.online not in listed(sim, f"end_time={when}")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("start_time=yesterday", 400, "IOTDA.000009"),
        ("start_time=20260102T000000Z&end_time=20260101T000000Z", 400, "IOTDA.000010"),
        ("product_id=" + "x" * 37, 400, "IOTDA.000006"),
        ("is_cascade_query=perhaps", 400, "IOTDA.000006"),
        ("app_id=nowhere", 403, "IOTDA.001000"),
    ],
)
def test_it_refuses_a_wrong_filter(sim, query, status, code):
    answer = sim.get(f"/devices?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_it_freezes_and_unfreezes(sim):
    answer = sim.post(f"/devices/{sim.known.online}/freeze")
    assert (answer.status_code, answer.content, sim.status(sim.known.online)) == (
        204,
        b"",
        "FROZEN",
    )
    assert "Content-Length" not in answer.headers
    assert sim.post(f"/devices/{sim.known.online}/unfreeze").status_code == 204
    assert sim.status(sim.known.online) == "OFFLINE"


@pytest.mark.parametrize(
    ("act", "which", "status", "code"),
    [
        ("freeze", "child", 403, "IOTDA.014038"),
        ("unfreeze", "child", 403, "IOTDA.014038"),
        ("freeze", "frozen", 403, "IOTDA.014039"),
        ("unfreeze", "online", 403, "IOTDA.014040"),
    ],
)
def test_it_refuses_to_freeze(sim, act, which, status, code):
    answer = sim.post(f"/devices/{getattr(sim.known, which)}/{act}")
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_it_may_take_a_repeated_freeze(sim):
    sim.patch(repeat_freeze="ok")
    assert sim.post(f"/devices/{sim.known.frozen}/freeze").status_code == 204


def test_it_may_take_a_repeated_unfreeze(sim):
    sim.patch(repeat_unfreeze="ok")
    assert sim.post(f"/devices/{sim.known.online}/unfreeze").status_code == 204


@pytest.mark.parametrize("status", ["offline", "inactive", "online"])
def test_it_unfreezes_to_the_status_set(sim, status):
    sim.patch(after_unfreeze=status)
    sim.post(f"/devices/{sim.known.frozen}/unfreeze")
    assert sim.status(sim.known.frozen) == status.upper()


def test_it_unfreezes_to_inactive_what_never_connected(sim):
    for act in ("freeze", "unfreeze"):
        sim.post(f"/devices/{sim.known.inactive}/{act}")
    assert sim.status(sim.known.inactive) == "INACTIVE"


def test_it_routes_an_encoded_slash_as_part_of_the_id(sim):
    sim.get("/devices/a%2Fb%20c")
    assert (
        sim.journal()[0].items()
        >= {"operation": "ShowDevice", "target_ids": ["a/b c"]}.items()
    )


@pytest.mark.parametrize("device_id", ["a%2Fb", "a%20b", "x" * 129, "a%0A"])
def test_it_refuses_an_id_that_cannot_be_one(sim, device_id):
    answer = sim.get(f"/devices/{device_id}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "IOTDA.000006")


def test_it_knows_no_other_path_or_method(sim):
    for method, path in [
        ("DELETE", "/devices"),
        ("GET", "/nonsense"),
        ("GET", "/devices/"),
        ("GET", "/v9"),
    ]:
        answer = sim.call(method, path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "APIGW.0101")


def test_it_gives_every_answer_a_request_id(sim):
    for path in ("/devices", "/devices/nobody", "/nonsense"):
        assert len(sim.get(path).headers["X-Request-Id"]) == 32


def test_it_shows_products_and_spaces(sim):
    products = sim.get("/products?limit=50").json()["products"]
    assert len(products) == 10
    assert sim.get(f"/products/{sim.known.product}").json()["service_capabilities"]
    spaces = sim.get("/apps").json()["applications"]
    assert [space["default_app"] for space in spaces] == [True, False, False, False]
    assert [
        s["app_id"] for s in sim.get("/apps?default_app=true").json()["applications"]
    ] == [sim.known.space]
    assert sim.get(f"/apps/{sim.known.space}").json()["app_name"] == "plant-north"


def test_it_filters_products(sim):
    rows = sim.get(f"/products?app_id={sim.known.space}").json()["products"]
    assert {row["app_id"] for row in rows} == {sim.known.space}
    assert (
        len(sim.get(f"/products?product_name={rows[0]['name']}").json()["products"])
        == 1
    )


def test_it_misses_a_product_with_404_and_a_space_with_403(sim):
    assert sim.get("/products/none").status_code == 404
    answer = sim.get("/apps/none")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "IOTDA.001000")
