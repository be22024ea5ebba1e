"""What failed is listed until it is solved: by cause, to those who may see the operation."""


def test_it_shows_what_failed_by_cause(me, full):
    text = me.get("/failures/").text
    assert "The target already has 5 policies" in text
    assert "IOTDA.015204" in text
    assert "1 target<" in text


def test_a_group_has_its_own_address(me, full, inventory):
    text = me.get("/failures/?code=IOTDA.015204").text
    assert inventory.landmarks["full"] in text
    assert f">{full}</a>" in text
