from tests.conftest import HTMX

KEY = "0123456789abcdef0123456789abcdef"
ASK = {"reason": "billing dispute", "ticket": "INC-1", "key": KEY}


def test_it_freezes_the_device(operator, inventory):
    device = inventory.landmarks["online"]
    operator.post(f"/devices/{device}/freeze/", ASK)
    assert inventory.status(device) == "FROZEN"


def test_it_answers_a_swap_with_the_row(operator, inventory):
    device = inventory.landmarks["online"]
    response = operator.post(f"/devices/{device}/freeze/", ASK, headers=HTMX)
    assert response.status_code == 200
    assert f'<tr id="device-{device}">' in response.text
    assert "Unfreeze" in response.text
